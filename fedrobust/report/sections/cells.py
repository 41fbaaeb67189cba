"""Common table cells of several sections."""

from fedrobust.report import constant, wording
from fedrobust.report.tables import Cell
from fedrobust.report.wording import NONE, score
from fedrobust.runs.record import MetricsRecord


def score_cell(metrics: MetricsRecord | None, metric: str, *, note: bool = True) -> Cell:
    """Return a score, with its interval below it."""
    if metrics is None or (metric != "accuracy" and metrics.one_class):
        return Cell(NONE)
    bounds = wording.interval(metric, metrics.limits(metric)) if note else ""
    return Cell(score(metric, metrics.score(metric)), bounds)


def right(metrics: MetricsRecord | None) -> Cell:
    """Return the number of correctly classified images."""
    return Cell(f"{metrics.correct:,} / {metrics.n:,}" if metrics else NONE)


def versus(metrics: MetricsRecord | None) -> Cell:
    """Return the comparison of an accuracy with the majority rate."""
    if metrics is None:
        return Cell(NONE)
    note = "" if constant.constant_answer(metrics) is None else "one class"
    return Cell(constant.versus_majority(metrics), note)


def milliseconds(value: float) -> str:
    """Return a short duration as text."""
    return f"{value:.2f}{wording.THIN}ms" if value < 10 else f"{value:,.0f}{wording.THIN}ms"
