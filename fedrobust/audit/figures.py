"""METRICS of logits with clinical figures, for cards and attack tables."""

from collections.abc import Sequence

from numpy.typing import ArrayLike

from fedrobust.evaluation.clinical import Figure, figures
from fedrobust.evaluation.intervals import Interval, wilson
from fedrobust.evaluation.metrics import measure
from fedrobust.runs.record import ClinicalRecord, FigureRecord, IntervalsRecord, MetricsRecord

SCORES = {"accuracy": "accuracy", "balanced accuracy": "balanced_accuracy", "auc": "auc"}
"""Figures contained in METRICS, with their keys; so are recalls."""


def clinical_record(labels: ArrayLike, logits: ArrayLike, disease: Sequence[int] = ()) -> ClinicalRecord:
    """Return METRICS and clinical figures of `logits`.

    Args:
        labels: (n,) true classes.
        logits: (n, classes).
        disease: the labels that mean disease.

    Raises:
        ValueError: the arrays have different lengths; see `measure`.

    Example:
        >>> found = clinical_record([0, 1, 1], [[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]], disease=(1,))
        >>> found.correct, found.recall, found.figures["disease missed"].counts
        (2, (1.0, 0.5), (1, 2))
    """
    metrics, found = measure(labels, logits), figures(labels, logits, disease)
    others = {name for name in found if name not in SCORES and not name.startswith("recall ")}
    return ClinicalRecord(
        **vars(MetricsRecord.of(metrics)),
        too_few={
            SCORES.get(name, name): figure.few
            for name, figure in found.items()
            if figure.few is not None and name not in others
        },
        figures={name: figure_record(found[name]) for name in found if name in others},
    )


def figure_record(figure: Figure) -> FigureRecord:
    """Return a figure's entry in a card."""
    return FigureRecord(
        value=figure.value,
        interval=figure.interval,
        constant=figure.constant,
        method=figure.method,
        counts=figure.counts,
        too_few=figure.few,
    )


def share_record(hits: int, n: int, majority_rate: float | None = None) -> MetricsRecord:
    """Return METRICS with the number of correct images only.

    Example:
        >>> share_record(78, 156).accuracy
        0.5
    """
    limits: Interval = wilson(hits, n)
    return MetricsRecord(
        n=n,
        correct=hits,
        accuracy=hits / n,
        majority_rate=majority_rate,
        interval=IntervalsRecord(accuracy=limits),
    )
