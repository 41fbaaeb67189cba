"""Every figure of every finished cell, one a line, as ``results/figures.csv``.

``python experiments/paper/write.py`` writes it from the records.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from figures import NONE, Record, control, mark
from tables import Printed

from fedrobust.evaluation.intervals import wilson

HEAD = (
    "cell",
    "who",
    "attack",
    "epsilon",
    "n",
    "correct",
    "accuracy",
    "low",
    "high",
    "constant",
    "balanced accuracy",
    "balanced low",
    "balanced high",
    "auc",
    "auc low",
    "auc high",
    "paper",
    "mark",
    "verdict",
    "decided by",
    "better than its control",
)
"""Columns: shares from 0 to 1 with 95 % intervals; the last columns are filled in the line of the clean images."""


def ledger(records: Mapping[str, list[dict[str, Any]]], printed: Printed) -> str:
    """Return the lines as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEAD, lineterminator="\n")
    writer.writeheader()
    for one in sorted((one for each in records.values() for one in each), key=lambda one: one["cell"]):
        if one["status"] != "finished":
            continue
        writer.writerows(lines(one, "model", one, printed.row(one, defence(one["cell"]))))
        if "student" in one:
            paper = printed.row(one, "distillation") if one["cell"].startswith("distillation/") else None
            writer.writerows(lines(one, "student", one["student"], paper))
    return text.getvalue()


def defence(cell: str) -> str:
    """Return the row of the paper's Table III that a cell is compared with; "no row" where there is none."""
    if "-epochs/" in cell or cell.startswith(("federated/", "mednist/", "batchnorm/", "whole/")):
        return "no row"
    if "/plain/" in cell:
        return "none"
    return "adversarial training" if "/fgsm-0.001/" in cell else "no row"


def lines(
    cell: Record, who: str, figures: Mapping[str, Any], paper: list[float] | None
) -> Iterator[dict[str, object]]:
    """Yield the lines of one model: clean, under FGSM, and under the attacks of its audit."""
    n, clean, audit = cell["n"], figures["clean"], figures.get("audit")
    last = {
        "verdict": audit["word"] if audit else "",
        "decided by": "; ".join(audit["deciding"]) if audit else "",
        "better than its control": control(audit).strip(NONE),
    }
    first = {"cell": cell["cell"], "who": who, "constant": round(cell["constant"] / n, 4)}
    printed = dict(zip(("", "0.001", "0.002", "0.003", "0.004", "0.005"), paper or (), strict=False))

    def line(attack: str, epsilon: str, correct: int, of: int, **more: object) -> dict[str, object]:
        low, high = wilson(correct, of)
        share = {"accuracy": round(correct / of, 4), "low": round(low, 4), "high": round(high, 4)}
        theirs = printed.get(epsilon) if attack in ("clean", "fgsm") else None
        if theirs is not None:
            more |= {"paper": round(theirs, 4), "mark": mark(correct, of, theirs)}
        return {**first, "attack": attack, "epsilon": epsilon, "n": of, "correct": correct, **share, **more}

    (low, high), (auc_low, auc_high) = clean["balanced-interval"], clean["auc-interval"]
    yield line(
        "clean",
        "",
        clean["correct"],
        n,
        **{"balanced accuracy": clean["balanced"], "balanced low": low, "balanced high": high},
        **{"auc": clean["auc"], "auc low": auc_low, "auc high": auc_high, **last},
    )
    for epsilon, found in figures["fgsm"].items():
        yield line("fgsm", epsilon, found["correct"], n, **{"balanced accuracy": found["balanced"]})
    if audit:
        for epsilon, right in audit["pgd"].items():
            yield line("pgd", epsilon, right, audit["n"])
        yield line("all attacks", str(audit["epsilon"]), audit["standing"], audit["n"])


__all__ = ["HEAD", "ledger"]
