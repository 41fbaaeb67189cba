"""The claims of RESULTS.md, each with the condition on the records under which it may be made.

`write.page` refuses to write a page with a claim that the records do not support. Figures are inserted by the template;
comparisons in words ("most", "little", "no usable classifier") are defined here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedrobust.evaluation.intervals import wilson

Record = Mapping[str, Any]
Cells = Mapping[str, Record]

BREAST, PNEUMONIA = "done-right/breastmnist/", "done-right/pneumoniamnist/"
DERMA = "done-right/dermamnist_rebuilt/"
DENSENET, MOBILENET, RESNET = "densenet121-random", "mobilenetv2-file", "resnet50-random"
CHANCE = {2: 0.5, 7: 1 / 7}


class UnsupportedClaimError(ValueError):
    """The page makes a claim that the records do not support."""


@dataclass(frozen=True)
class Claim:
    """A passage of the page, and the condition under which it may be made.

    Attributes:
        words: as in the template, with line breaks as spaces.
        holds: whether the cells, by name, support it.
    """

    words: str
    holds: Callable[[Cells], bool]


def check(text: str, cells: Cells, claims: "Sequence[Claim] | None" = None) -> None:
    """Refuse a page with unsupported claims, or without one of the claims.

    Raises:
        UnsupportedClaimError: there are some; the message lists them.
    """
    flat = " ".join(text.split())
    wrong = []
    for claim in CLAIMS if claims is None else claims:
        if claim.words not in flat:
            wrong.append(f"the page no longer says “{claim.words}”: change the claim")
        elif not claim.holds(cells):
            wrong.append(f"the records do not support “{claim.words}”: change the sentence")
    if wrong:
        raise UnsupportedClaimError("\n".join(wrong))


def attacked(cells: Cells, name: str, epsilon: str = "0.005") -> float:
    """Return the accuracy under FGSM."""
    return float(cells[name]["fgsm"][epsilon]["correct"] / cells[name]["n"])


def clean(cells: Cells, name: str) -> float:
    """Return the accuracy on clean images."""
    return float(cells[name]["clean"]["correct"] / cells[name]["n"])


def right_clean(cells: Cells, network: str, way: str) -> int:
    """Return the number of clean images of BreastMNIST that a network classifies correctly."""
    return int(cells[f"{BREAST}{network}/{way}/seed-0"]["clean"]["correct"])


def gain_of_epochs(cells: Cells, network: str) -> float:
    """Return the share of adversarial training's gain under FGSM, on BreastMNIST, that ten standard epochs reach."""
    five, ten, trained = (
        attacked(cells, f"{BREAST}{network}/{way}/seed-0")
        for way in ("plain", "plain-10-epochs", "fgsm-0.001")
    )
    return (ten - five) / (trained - five) if trained != five else float("nan")


def below_clean(cells: Cells, name: str) -> bool:
    """Return whether the accuracy at 0.005 is below the interval of the clean one."""
    one = cells[name]
    return attacked(cells, name) < wilson(one["clean"]["correct"], one["n"])[0]


def above_constant(one: Record) -> bool:
    """Return whether the interval of the balanced accuracy is above the constant classifier's value."""
    return bool(one["clean"]["balanced-interval"][0] > CHANCE[one["classes"]])


def of_study(cells: Cells, start: str, *, end: str = "") -> list[Record]:
    """Return the finished records whose names start with `start` and end with `end` before the seed."""
    return [
        one
        for name, one in cells.items()
        if one["status"] == "finished" and name.startswith(start) and name.rpartition("/")[0].endswith(end)
    ]


def mean(values: Sequence[float]) -> float:
    """Return the mean over seeds."""
    return sum(values) / len(values)


def balanced(cells: Cells, what: str, *, dataset: str = "breastmnist") -> float:
    """Return the federation's mean balanced accuracy over seeds."""
    found = of_study(cells, f"federated/{dataset}/{MOBILENET}/", end=what)
    return mean([one["clean"]["balanced"] for one in found])


def federated(cells: Cells, dataset: str, what: str, epsilon: str) -> float:
    """Return the federation's mean accuracy under FGSM over seeds."""
    found = of_study(cells, f"federated/{dataset}/{MOBILENET}/", end=what)
    return mean([one["fgsm"][epsilon]["correct"] / one["n"] for one in found])


def resnet(cells: Cells, setting: str) -> list[Record]:
    """Return the records of ResNet50 on BreastMNIST from random weights, of all seeds."""
    return of_study(cells, f"batchnorm/breastmnist/{RESNET}/plain/", end=setting)


def robust_words(cells: Cells) -> list[str]:
    """Return the names of the cells with the verdict robust."""
    return sorted(name for name, one in cells.items() if (one.get("audit") or {}).get("word") == "robust")


def left_over(cells: Cells, network: str) -> float:
    """Return the difference between accuracy under FGSM and under all attacks."""
    one = cells[f"{BREAST}{network}/plain/seed-0"]
    return float((one["fgsm"]["0.005"]["correct"] - one["audit"]["standing"]) / one["n"])


WHOLE = "whole/pneumoniamnist/mobilenetv2-file/fgsm-2of255/seed-0"
MEDNIST = "mednist/mednist28/mobilenetv2-file/plain/done-right/seed-0"
CONSTANT = "table1/breastmnist/densenet121-random/plain/seed-0"

CLAIMS = (
    Claim(
        "FGSM breaks trained networks on every data set: at 0.005 the accuracy of the corrected MobileNetV2 falls",
        lambda cells: all(
            below_clean(cells, f"{each}{MOBILENET}/plain/seed-0") for each in (BREAST, PNEUMONIA, DERMA)
        ),
    ),
    Claim(
        "On BreastMNIST ten standard epochs reach most of the gain for DenseNet121 and ResNet50, and little of it for "
        "MobileNetV2",
        lambda cells: (
            gain_of_epochs(cells, DENSENET) > 0.5
            and gain_of_epochs(cells, RESNET) > 0.5
            and gain_of_epochs(cells, MOBILENET) < 0.25
        ),
    ),
    Claim(
        "On the larger sets adversarial training is a defence for MobileNetV2, in the one seed that was run",
        lambda cells: (
            all(
                attacked(cells, f"{each}{MOBILENET}/plain-10-epochs/seed-0")
                < attacked(cells, f"{each}{MOBILENET}/plain/seed-0")
                < attacked(cells, f"{each}{MOBILENET}/fgsm-0.001/seed-0")
                for each in (PNEUMONIA, DERMA)
            )
            and not any(
                of_study(cells, f"{each}{MOBILENET}/{way}/seed-{seed}")
                for each in (PNEUMONIA, DERMA)
                for way in ("plain", "plain-10-epochs", "fgsm-0.001")
                for seed in range(1, 10)
            )
        ),
    ),
    Claim(
        "The rise of clean accuracy with adversarial training on BreastMNIST, where the paper reports a small loss, is "
        "due to the additional epochs",
        lambda cells: all(
            right_clean(cells, network, "plain")
            < right_clean(cells, network, "fgsm-0.001")
            <= right_clean(cells, network, "plain-10-epochs") + 1  # image
            for network in (DENSENET, MOBILENET, RESNET)
        ),
    ),
    Claim(
        "is not a usable classifier on any of the sets: balanced accuracy",
        lambda cells: all(
            cells[f"table1/{each}/{MOBILENET}/plain/seed-0"]["audit"]["word"] == "degenerate"
            for each in ("breastmnist", "pneumoniamnist", "dermamnist_rebuilt")
        ),
    ),
    Claim(
        'DenseNet121 from random weights predicts "benign" for all of BreastMNIST',
        lambda cells: (
            cells[CONSTANT]["clean"]["predicted"] == [0, 156]
            and all(one["correct"] == 114 for one in cells[CONSTANT]["fgsm"].values())
        ),
    ),
    Claim(
        '"benign" for all images, 73.1 %, in six of six seeds',
        lambda cells: (
            [
                one["clean"]["predicted"]
                for one in resnet(cells, "momentum-0.99-average/undersample-false-augment-0")
            ]
            == [[0, 156]] * 6
        ),
    ),
    Claim(
        "in three of three seeds: three correct images more than 25 %",
        lambda cells: (
            [
                (one["clean"]["predicted"], one["clean"]["correct"] - one["n"] // 4)
                for one in resnet(cells, "momentum-0.99-average/undersample-true-augment-2")
            ]
            == [([156, 0], 3)] * 3
        ),
    ),
    Claim(
        "For other networks the difference is smaller: DenseNet121",
        lambda cells: left_over(cells, DENSENET) < 0.05 < left_over(cells, MOBILENET),
    ),
    Claim(
        "and fewer of its control, the same network before adversarial training",
        lambda cells: WHOLE in robust_words(cells) and not cells[WHOLE]["audit"]["failed"],
    ),
    Claim(
        "No other model of this page has this verdict",
        lambda cells: robust_words(cells) == [WHOLE],
    ),
    Claim(
        "On DermaMNIST, with seven classes and six rounds, the federation is worse",
        lambda cells: (
            balanced(cells, "plain/iid", dataset="dermamnist_rebuilt")
            < cells[f"{DERMA}{MOBILENET}/plain/seed-0"]["clean"]["balanced"] - 0.1
        ),
    ),
    Claim(
        "A Dirichlet partition (alpha 0.5) lowers balanced accuracy first",
        lambda cells: balanced(cells, "plain/dirichlet") < balanced(cells, "plain/iid") - 0.05,
    ),
    Claim(
        "not above the constant classifier; the median gives",
        lambda cells: all(
            balanced(cells, "poisoned/mean", dataset=each)
            <= 0.5
            < balanced(cells, "poisoned/median", dataset=each)
            for each in ("breastmnist", "pneumoniamnist")
        ),
    ),
    Claim(
        "which is no gain (a control of ten standard rounds was not run)",
        lambda cells: (
            federated(cells, "breastmnist", "fgsm-0.001/iid", "0.005")
            < federated(cells, "breastmnist", "plain/iid", "0.005")
        ),
    ),
    Claim(
        "It is an easy set: it shows that the method runs on a large one",
        lambda cells: clean(cells, MEDNIST) > 0.99,
    ),
)
