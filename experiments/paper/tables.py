"""The tables of RESULTS.md, as Markdown, from the records in ``results/``."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from check_names import short
from figures import NONE, Record, control, counted, course, mark, percent, ranged, seeds, verdict

HERE = Path(__file__).parent
EPSILONS = ("0.001", "0.002", "0.003", "0.004", "0.005")
ALONG = (
    "clean",
    *EPSILONS,
    "balanced: clean → 0.005",
    "AUC",
    "audited images",
    "PGD",
    "all attacks",
    "audit",
    "better than its control",
)
"""The heads of `attacked_row` after the constant classifier's."""

SETS = {
    "breastmnist": "BreastMNIST",
    "pneumoniamnist": "PneumoniaMNIST",
    "dermamnist_rebuilt.npz": "DermaMNIST (rebuilt)",
    "octmnist": "OCTMNIST",
    "mednist28.npz": "MedNIST",
}
MODELS = {"densenet121": "DenseNet121", "mobilenetv2": "MobileNetV2", "resnet50": "ResNet50"}
WEIGHTS = {"file": "ImageNet, unfolded", "imagenet": "ImageNet", "random": "random"}


Federation = dict[tuple[str, str, str], list[tuple[Mapping[str, Any], Record]]]
"""(data set, partition, training) -> (figures of the model, its record), one for each seed."""


class Printed:
    """The paper's own numbers, as shares.

    Args:
        path: of the file that holds them.
    """

    def __init__(self, path: Path = HERE / "table3.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        self.rows: dict[tuple[str, str, str], list[float]] = {}
        for row in table["rows"]:
            n = table["test-sets"][row["dataset"]]["n"]
            self.rows[row["dataset"], row["model"], row["defence"]] = [k / n for k in row["correct"]]
        for row in table["octmnist-percent"]:
            self.rows[row["dataset"], row["model"], row["defence"]] = [p / 100 for p in row["percent"]]

    def row(self, record: Record, defence: str = "none") -> list[float] | None:
        """Return the paper's shares for a record's data set and model, clean and by epsilon; None if there are none."""
        name = SETS[record["dataset"]].removesuffix(" (rebuilt)")
        return self.rows.get((name, MODELS[record["model"]], defence))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def ordered(records: Iterable[Record]) -> list[Record]:
    """Return records by data set, model and weights, in the paper's order."""
    sets, models = list(SETS), list(MODELS)
    weights = ["file", "random", "imagenet"]
    return sorted(
        records,
        key=lambda one: (
            sets.index(one["dataset"]),
            models.index(one["model"]),
            weights.index(one["weights"]),
            one["cell"],
        ),
    )


def heading(record: Record) -> list[str]:
    """Return the cells that identify a row's record."""
    return [SETS[record["dataset"]], MODELS[record["model"]], WEIGHTS[record["weights"]]]


def is_plain(record: Record) -> bool:
    """Return whether the record's model is undefended."""
    return "/plain/" in record["cell"]


def clean_table(records: Iterable[Record], printed: Printed) -> str:
    """Return Table I: clean test images."""
    head = (
        "data set",
        "model",
        "weights",
        "constant",
        "paper",
        "ours: correct",
        "",
        "balanced accuracy",
        "AUC",
        "audit",
        "cell",
    )
    rows = []
    for one in ordered(record for record in records if is_plain(record)):
        row = printed.row(one)
        paper = NONE if row is None else percent(row[0], 2)
        if one["status"] != "finished":
            rows.append([*heading(one), NONE, paper, one["status"], "", NONE, NONE, NONE, f"`{one['cell']}`"])
            continue
        n, clean = one["n"], one["clean"]
        rows.append(
            [
                *heading(one),
                percent(one["constant"] / n),
                paper,
                counted(clean["correct"], n),
                "" if row is None else mark(clean["correct"], n, row[0]),
                ranged(clean["balanced"], clean["balanced-interval"]),
                ranged(clean["auc"], clean["auc-interval"]),
                verdict(one["audit"]),
                f"`{one['cell']}`",
            ]
        )
    return table(head, rows)


def attacked_table(records: Iterable[Record], printed: Printed, defence: str) -> str:
    """Return Tables II and III: accuracy by epsilon beside the paper's, and the audit's verdict.

    Args:
        records: of one study file.
        printed: the paper's numbers.
        defence: as in the paper's Table III; "none" for Table II.
    """
    head = (
        "data set",
        "model",
        "weights",
        "constant",
        *ALONG,
        "cell",
    )
    rows = []
    for one in ordered(records):
        paper = printed.row(one, defence)
        if one["status"] != "finished":
            theirs = [f"{one['status']} ({percent(paper[0])})" if paper else one["status"]]
            theirs += [f"({percent(share)})" if paper else "" for share in (paper or [0.0] * 6)[1:]]
            rows.append([*heading(one), NONE, *theirs, *[NONE] * (len(ALONG) - 6), f"`{one['cell']}`"])
            continue
        rows.append([*heading(one), *attacked_row(one, one["n"], one["constant"], paper), f"`{one['cell']}`"])
    return table(head, rows)


def attacked_row(figures: Mapping[str, Any], n: int, constant: int, paper: list[float] | None) -> list[str]:
    """Return the cells of one model, from the constant classifier's to the control's."""
    clean, fgsm = figures["clean"], figures["fgsm"]
    counts = [clean["correct"], *(fgsm[epsilon]["correct"] for epsilon in EPSILONS)]
    shown = [
        f"{percent(count / n)}" + (f" ({percent(share)}) {mark(count, n, share)}" if paper else "")
        for count, share in zip(counts, paper or [0.0] * 6, strict=True)
    ]
    know = [f"{percent(clean['balanced'])} → {percent(fgsm['0.005']['balanced'])}", percent(clean["auc"])]
    first = [f"{percent(constant / n)} of {n}", *shown, *know]
    audit = figures.get("audit")
    if audit is None:
        return [*first, NONE, NONE, NONE, NONE, NONE]
    odd = course(counts, EPSILONS, n)
    return [
        *first,
        f"{audit['right']}/{audit['n']} correct",
        percent(audit["pgd"]["0.005"] / audit["n"]),
        percent(audit["standing"] / audit["n"]),
        f"{verdict(audit)}; {odd}" if odd else verdict(audit),
        control(audit),
    ]


def distilled_table(records: Iterable[Record], printed: Printed) -> str:
    """Return the students of Table III, each below its teacher."""
    head = ("data set", "teacher's weights", "how", "who", "constant", *ALONG, "cell")
    rows = []
    for one in ordered(record for record in records if "student" in record or record["status"] != "finished"):
        how = "corrected" if "done-right" in one["cell"] else "as printed"
        first, cell = [SETS[one["dataset"]], WEIGHTS[one["weights"]], how], f"`{one['cell']}`"
        if one["status"] != "finished":
            rows.append([*first, one["status"], *[NONE] * (len(ALONG) + 1), cell])
            continue
        n, constant = one["n"], one["constant"]
        teacher, student = printed.row(one), printed.row(one, "distillation")
        rows.append([*first, "teacher", *attacked_row(one, n, constant, teacher), cell])
        rows.append([*first, "student", *attacked_row(one["student"], n, constant, student), cell])
    return table(head, rows)


def longer_table(records: Iterable[Record]) -> str:
    """Return adversarial training beside as many epochs of standard training, by network."""
    head = ("data set", "model", "weights", "constant", "training", *ALONG, "cell")
    ways = {
        "/plain/": "five epochs",
        "/plain-10-epochs/": "ten epochs",
        "/fgsm-0.001/": "five epochs, then five with FGSM at 0.001",
        "/fgsm-2of255/": "five epochs, then five with FGSM at 2/255",
    }
    pairs: dict[tuple[str, str], dict[str, Record]] = {}
    for one in ordered(records):
        way = next(name for part, name in ways.items() if part in one["cell"])
        pairs.setdefault((one["dataset"], one["model"]), {})[way] = one
    rows = []
    for by_way in pairs.values():
        longer = by_way.get("ten epochs")
        if longer is None or longer["status"] != "finished":
            continue
        for way in ways.values():
            one = by_way.get(way)
            if one is None or one["status"] != "finished":
                continue
            constant, *figures = attacked_row(one, one["n"], one["constant"], None)
            rows.append([*heading(one), constant, way, *figures, f"`{one['cell']}`"])
    return table(head, rows)


def batchnorm_table(records: Iterable[Record]) -> str:
    """Return ResNet50 on BreastMNIST by BatchNorm setting and by resampling of the images."""
    settings = {
        "momentum-0.99-average": "momentum 0.99 (Keras')",
        "momentum-0.9-average": "momentum 0.9",
        "momentum-0.99-recalibrate": "momentum 0.99, recalibrated",
    }
    images = {
        "undersample-false-augment-0": "unchanged",
        "undersample-false-augment-2": "two augmented copies of each",
        "undersample-true-augment-0": "undersampled",
        "undersample-true-augment-2": "undersampled, two augmented copies of each",
    }
    orders = [["random", "imagenet"], list(images), list(settings)]
    found: dict[tuple[str, str, str], dict[int, Record]] = {}
    for one in records:
        *_, setting, resampling, _ = one["cell"].split("/")
        found.setdefault((one["weights"], resampling, setting), {})[one["seed"]] = one
    numbers = sorted({seed for by_seed in found.values() for seed in by_seed})
    rows = []
    for key in sorted(
        found, key=lambda key: [order.index(part) for order, part in zip(orders, key, strict=True)]
    ):
        weights, resampling, setting = key
        shown = [batchnorm_cell(found[key][seed]) if seed in found[key] else NONE for seed in numbers]
        rows.append([WEIGHTS[weights], images[resampling], settings[setting], *shown])
    return table(("weights", "training images", "BatchNorm", *(f"seed {seed}" for seed in numbers)), rows)


def batchnorm_cell(one: Record) -> str:
    """Return accuracy, balanced accuracy, AUC, and the number of images predicted as malignant."""
    if one["status"] != "finished":
        return str(one["status"])
    clean, n = one["clean"], one["n"]
    shares = (clean["correct"] / n, clean["balanced"], clean["auc"])
    return f"{' / '.join(map(percent, shares))} / {clean['predicted'][0]}"


def federated(records: Iterable[Record]) -> Federation:
    """Return the federation's finished models by data set, partition and training, one a seed, with its record."""
    groups: Federation = {}
    for one in ordered(records):
        if one["status"] != "finished":
            continue
        parts = one["cell"].split("/")
        partition = "Dirichlet(0.5)" if parts[4] == "dirichlet" else "iid"
        key = (SETS[one["dataset"]], partition)
        if "poisoned" in parts:
            groups.setdefault((*key, f"one poisoned hospital, {parts[6]}"), []).append((one, one))
            continue
        what = "plain" if is_plain(one) else "adversarial training"
        groups.setdefault((*key, what), []).append((one, one))
        if "student" in one:
            groups.setdefault((*key, "distillation"), []).append((one["student"], one))
    return groups


def federated_table(records: Iterable[Record]) -> str:
    """Return the columns of the federation, over seeds."""
    head = (
        "data set",
        "partition",
        "what",
        "accuracy",
        "constant",
        "balanced accuracy",
        "AUC",
        "FGSM 0.001",
        "FGSM 0.005",
        "FGSM 4/255",
        "PGD 0.005",
        "all attacks 0.005",
        "audit",
        "better than its control",
        "cells",
    )
    rows = []
    order = ["plain", "adversarial training", "distillation"]
    places = {name: place for place, name in enumerate(SETS.values())}

    def place(key: tuple[str, str, str]) -> tuple[int, bool, int, str]:
        dataset, partition, what = key
        return places[dataset], partition != "iid", order.index(what) if what in order else 3, what

    groups = federated(records)
    for key in sorted(groups, key=place):
        figures = groups[key]
        n, constant = figures[0][1]["n"], figures[0][1]["constant"]
        audits = [one["audit"] for one, _ in figures if one.get("audit")]
        rows.append(
            [
                *key,
                seeds([one["clean"]["correct"] / n for one, _ in figures]),
                f"{percent(constant / n)} of {n}",
                seeds([one["clean"]["balanced"] for one, _ in figures]),
                seeds([one["clean"]["auc"] for one, _ in figures]),
                *(
                    seeds([one["fgsm"][epsilon]["correct"] / n for one, _ in figures])
                    for epsilon in ("0.001", "0.005", "4/255")
                ),
                seeds([audit["pgd"]["0.005"] / audit["n"] for audit in audits]) if audits else NONE,
                seeds([audit["standing"] / audit["n"] for audit in audits]) if audits else NONE,
                words(audits),
                controls(audits),
                f"`{figures[0][1]['cell'].rpartition('-')[0]}-*`",
            ]
        )
    return table(head, rows)


def words(audits: Sequence[Mapping[str, Any]]) -> str:
    """Return the number of each verdict, and the most frequent deciding checks."""
    if not audits:
        return NONE
    counts = Counter(audit["word"] for audit in audits)
    deciding = Counter(check for audit in audits for check in audit["deciding"])
    said = ", ".join(f"**{word}** {count} of {len(audits)}" for word, count in counts.most_common())
    return said + (
        f" ({', '.join(short(check) for check, _ in deciding.most_common(3))})" if deciding else ""
    )


def controls(audits: Sequence[Mapping[str, Any]]) -> str:
    """Return how many of several audited models are more robust than their controls."""
    found = [said for said in map(control, audits) if said != NONE]
    return f"{found.count('yes')} of {len(found)}" if found else NONE
