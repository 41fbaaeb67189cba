"""The section on the removal of backdoors from the trained model."""

from typing import Any

from fedrobust.report.folder import Run
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent
from fedrobust.runs.record import ModelEvaluationRecord

HEAD = (Cell("Accuracy"), Cell("Balanced accuracy"), Cell("AUC"), Cell("Attack success", "without trigger"))


def removal(run: Run) -> dict[str, Any]:
    """Return the section's content; empty without a removal."""
    done = run.record.removal
    if done is None:
        return {}
    seconds = "" if done.seconds is None else f", in {done.seconds:.1f} s"
    return {
        "sentence": f"{done.method}, on {done.images:,} validation images of the server{seconds}.",
        "table": Table(
            "The selected model",
            HEAD,
            [(Cell("before"), row(done.before)), (Cell("after"), row(done.after))],
        ),
        "found": [(name, f"{value:.4g}") for name, value in done.found.items()],
    }


def row(measured: ModelEvaluationRecord) -> tuple[Cell, ...]:
    """Return the cells of a model."""
    clean, success = measured.clean, measured.attack_success
    if clean is None:
        scores = [Cell(NONE)] * 3
    else:
        auc = NONE if clean.auc is None else f"{clean.auc:.3f}"
        scores = [Cell(percent(clean.accuracy)), Cell(percent(clean.balanced_accuracy)), Cell(auc)]
    if success is None:
        return (*scores, Cell(NONE))
    without = "" if success.without_trigger is None else f"without {percent(success.without_trigger)}"
    return (*scores, Cell(percent(success.rate), without))
