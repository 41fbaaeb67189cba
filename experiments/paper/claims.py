"""What RESULTS.md says in words of its figures, and what must be so in the records for it to be said.

`write.page` refuses to write a page whose words the records do not carry. Figures themselves are put in by the
template; a word that compares ("most", "little", "no usable classifier", "they lose") stands here with its meaning.
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
    """The page says something that the records do not carry."""


@dataclass(frozen=True)
class Claim:
    """A piece of the page, and when it may be said.

    Attributes:
        words: as they stand in the template, line ends as blanks.
        holds: whether the cells, by name, carry it.
    """

    words: str
    holds: Callable[[Cells], bool]


def check(text: str, cells: Cells, claims: "Sequence[Claim] | None" = None) -> None:
    """Refuse a page whose words the records do not carry, or whose words have left a claim behind.

    Raises:
        UnsupportedClaimError: it has some; they are named.
    """
    flat = " ".join(text.split())
    wrong = []
    for claim in CLAIMS if claims is None else claims:
        if claim.words not in flat:
            wrong.append(f"the page no longer says “{claim.words}”: change the claim")
        elif not claim.holds(cells):
            wrong.append(f"the records do not carry “{claim.words}”: change the sentence")
    if wrong:
        raise UnsupportedClaimError("\n".join(wrong))


def attacked(cells: Cells, name: str, epsilon: str = "0.005") -> float:
    """Return the share that stands FGSM."""
    return float(cells[name]["fgsm"][epsilon]["correct"] / cells[name]["n"])


def clean(cells: Cells, name: str) -> float:
    """Return the share that is right on clean images."""
    return float(cells[name]["clean"]["correct"] / cells[name]["n"])


def right_clean(cells: Cells, network: str, way: str) -> int:
    """Return how many clean images of BreastMNIST a network is right on."""
    return int(cells[f"{BREAST}{network}/{way}/seed-0"]["clean"]["correct"])


def gain_of_epochs(cells: Cells, network: str) -> float:
    """Return which part of adversarial training's gain under FGSM, on BreastMNIST, ten epochs without it have, too."""
    five, ten, trained = (
        attacked(cells, f"{BREAST}{network}/{way}/seed-0")
        for way in ("plain", "plain-10-epochs", "fgsm-0.001")
    )
    return (ten - five) / (trained - five) if trained != five else float("nan")


def below_clean(cells: Cells, name: str) -> bool:
    """Return whether accuracy at 0.005 is below the interval of the clean one."""
    one = cells[name]
    return attacked(cells, name) < wilson(one["clean"]["correct"], one["n"])[0]


def above_constant(one: Record) -> bool:
    """Return whether balanced accuracy is, with its interval, above a constant classifier's."""
    return bool(one["clean"]["balanced-interval"][0] > CHANCE[one["classes"]])


def of_study(cells: Cells, start: str, *, end: str = "") -> list[Record]:
    """Return the finished records whose names begin, and end but for the seed, like this."""
    return [
        one
        for name, one in cells.items()
        if one["status"] == "finished" and name.startswith(start) and name.rpartition("/")[0].endswith(end)
    ]


def mean(values: Sequence[float]) -> float:
    """Return the mean over seeds."""
    return sum(values) / len(values)


def balanced(cells: Cells, what: str, *, dataset: str = "breastmnist") -> float:
    """Return the federation's balanced accuracy, its mean over seeds."""
    found = of_study(cells, f"federated/{dataset}/{MOBILENET}/", end=what)
    return mean([one["clean"]["balanced"] for one in found])


def federated(cells: Cells, dataset: str, what: str, epsilon: str) -> float:
    """Return the federation's accuracy under FGSM, its mean over seeds."""
    found = of_study(cells, f"federated/{dataset}/{MOBILENET}/", end=what)
    return mean([one["fgsm"][epsilon]["correct"] / one["n"] for one in found])


def resnet(cells: Cells, setting: str) -> list[Record]:
    """Return ResNet50 on BreastMNIST from random weights, of all seeds."""
    return of_study(cells, f"batchnorm/breastmnist/{RESNET}/plain/", end=setting)


def robust_words(cells: Cells) -> list[str]:
    """Return the names of the cells whose model an audit calls robust."""
    return sorted(name for name, one in cells.items() if (one.get("audit") or {}).get("word") == "robust")


def left_over(cells: Cells, network: str) -> float:
    """Return what is between FGSM and all attacks, as a share of the images."""
    one = cells[f"{BREAST}{network}/plain/seed-0"]
    return float((one["fgsm"]["0.005"]["correct"] - one["audit"]["standing"]) / one["n"])


WHOLE = "whole/pneumoniamnist/mobilenetv2-file/fgsm-2of255/seed-0"
MEDNIST = "mednist/mednist28/mobilenetv2-file/plain/done-right/seed-0"
CONSTANT = "table1/breastmnist/densenet121-random/plain/seed-0"

CLAIMS = (
    Claim(
        "FGSM breaks networks that learnt, on every set: at 0.005 MobileNetV2 done right falls",
        lambda cells: all(
            below_clean(cells, f"{each}{MOBILENET}/plain/seed-0") for each in (BREAST, PNEUMONIA, DERMA)
        ),
    ),
    Claim(
        "most of the gain is gone on BreastMNIST for DenseNet121 and ResNet50, and little of it for MobileNetV2",
        lambda cells: (
            gain_of_epochs(cells, DENSENET) > 0.5
            and gain_of_epochs(cells, RESNET) > 0.5
            and gain_of_epochs(cells, MOBILENET) < 0.25
        ),
    ),
    Claim(
        "On the larger sets it is one for MobileNetV2, in the one seed that was run",
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
        "clean accuracy rose with adversarial training on BreastMNIST, where the paper lost a little, is those epochs",
        lambda cells: all(
            right_clean(cells, network, "plain")
            < right_clean(cells, network, "fgsm-0.001")
            <= right_clean(cells, network, "plain-10-epochs") + 1  # image
            for network in (DENSENET, MOBILENET, RESNET)
        ),
    ),
    Claim(
        "is no usable classifier on any of the sets: balanced accuracy",
        lambda cells: all(
            cells[f"table1/{each}/{MOBILENET}/plain/seed-0"]["audit"]["word"] == "degenerate"
            for each in ("breastmnist", "pneumoniamnist", "dermamnist_rebuilt")
        ),
    ),
    Claim(
        'DenseNet121 from random weights answers "benign" to all of BreastMNIST',
        lambda cells: (
            cells[CONSTANT]["clean"]["predicted"] == [0, 156]
            and all(one["correct"] == 114 for one in cells[CONSTANT]["fgsm"].values())
        ),
    ),
    Claim(
        '"benign" to all, 73.1 %, on six seeds of six',
        lambda cells: (
            [
                one["clean"]["predicted"]
                for one in resnet(cells, "momentum-0.99-average/undersample-false-augment-0")
            ]
            == [[0, 156]] * 6
        ),
    ),
    Claim(
        "on three of three: three right answers more than 25 %",
        lambda cells: (
            [
                (one["clean"]["predicted"], one["clean"]["correct"] - one["n"] // 4)
                for one in resnet(cells, "momentum-0.99-average/undersample-true-augment-2")
            ]
            == [([156, 0], 3)] * 3
        ),
    ),
    Claim(
        "Other networks leave less between: DenseNet121",
        lambda cells: left_over(cells, DENSENET) < 0.05 < left_over(cells, MOBILENET),
    ),
    Claim(
        "and of its control, the same network before, fewer stand",
        lambda cells: WHOLE in robust_words(cells) and not cells[WHOLE]["audit"]["failed"],
    ),
    Claim(
        "The only other model that is called so is MedNIST's done right",
        lambda cells: robust_words(cells) == sorted([WHOLE, MEDNIST]),
    ),
    Claim(
        "On DermaMNIST, with seven classes and six rounds, they lose",
        lambda cells: (
            balanced(cells, "plain/iid", dataset="dermamnist_rebuilt")
            < cells[f"{DERMA}{MOBILENET}/plain/seed-0"]["clean"]["balanced"] - 0.1
        ),
    ),
    Claim(
        "Uneven shares (Dirichlet 0.5) take balanced accuracy first",
        lambda cells: balanced(cells, "plain/dirichlet") < balanced(cells, "plain/iid") - 0.05,
    ),
    Claim(
        "not above a constant; the median gives",
        lambda cells: all(
            balanced(cells, "poisoned/mean", dataset=each)
            <= 0.5
            < balanced(cells, "poisoned/median", dataset=each)
            for each in ("breastmnist", "pneumoniamnist")
        ),
    ),
    Claim(
        "which is nothing (and no ten rounds without an attack stand beside them)",
        lambda cells: (
            federated(cells, "breastmnist", "fgsm-0.001/iid", "0.005")
            < federated(cells, "breastmnist", "plain/iid", "0.005")
        ),
    ),
    Claim(
        "It is an easy set: it shows that the way is open for a large one",
        lambda cells: clean(cells, MEDNIST) > 0.99,
    ),
)
