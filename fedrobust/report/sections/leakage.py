"""The part of the privacy section on attacks."""

from collections.abc import Sequence
from typing import Any

from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE
from fedrobust.runs.leakage_words import summary, target_of
from fedrobust.runs.record.leakage import InversionRecord, LeakageRecord, MembershipRecord, RateRecord

MEMBERSHIP = (
    Cell("Sees"),
    Cell("AUC", "95 %"),
    Cell("TPR at 1 % FPR", "95 %"),
    Cell("TPR at 0.1 % FPR", "95 %"),
    Cell("Control", "AUC"),
    Cell("Shadows"),
)

INVERSION = (
    Cell("Images", "local steps"),
    Cell("BatchNorm", "in the step"),
    Cell("Labels inferred"),
    Cell("PSNR", "dB"),
    Cell("Nearest other image", "PSNR, dB"),
)


def leakage(found: LeakageRecord | None) -> dict[str, Any]:
    """Return what was attacked and found; without attacks, that nothing is known."""
    if found is None:
        return {"sentences": list(summary(None)), "tables": []}
    tables = []
    if found.membership:
        tables.append(("Which images trained the model?", membership(found.membership)))
    if found.inversion:
        tables.append(("Images from single updates", inversion(found.inversion)))
    return {"sentences": list(summary(found)), "tables": tables}


def membership(rows: Sequence[MembershipRecord]) -> Table:
    """Return a row for each attack and target, and guessing."""
    guessing = (Cell(NONE), Cell("0.500"), Cell("1.0%"), Cell("0.1%"), Cell(NONE), Cell(NONE))
    return Table(
        "Attack",
        MEMBERSHIP,
        [
            *(
                (
                    Cell(one.attack, f"{target_of(one)}; others: {one.others}"),
                    (
                        Cell(one.sees),
                        Cell(f"{one.auc:.3f}", f"{one.interval[0]:.3f}-{one.interval[1]:.3f}"),
                        *(rate(each) for each in one.rates),
                        Cell(NONE if one.control_auc is None else f"{one.control_auc:.3f}", one.control),
                        Cell(str(one.shadows)),
                    ),
                )
                for one in rows
            ),
            (Cell("guessing"), guessing),
        ],
    )


def rate(one: RateRecord) -> Cell:
    """Return a true positive rate with its interval."""
    if one.value is None or one.interval is None:
        return Cell("too few", f"{one.others} others")
    return Cell(f"{one.value:.1%}", f"{100 * one.interval[0]:.1f}-{100 * one.interval[1]:.1f}")


def inversion(rows: Sequence[InversionRecord]) -> Table:
    """Return a row for each captured update."""
    return Table(
        "Attack",
        INVERSION,
        [
            (
                Cell(one.attack, f"client {one.client}, round {one.round}"),
                (
                    Cell(str(one.images), f"{one.steps}"),
                    Cell(one.batchnorm),
                    Cell(f"{one.labels_found} of {one.images}"),
                    Cell(" ".join(f"{value:.1f}" for value in one.psnr)),
                    Cell(" ".join(f"{value:.1f}" for value in one.neighbour_psnr)),
                ),
            )
            for one in rows
        ],
    )
