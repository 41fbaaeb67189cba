"""Clinical metrics of a classifier, each with its confidence interval and the value of a constant classifier."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.evaluation.calibration_error import calibration_error
from fedrobust.evaluation.confusion import confusion_matrix
from fedrobust.evaluation.intervals import FEWEST_IMAGES, Interval, too_few, wilson
from fedrobust.evaluation.matthews import matthews, matthews_interval
from fedrobust.evaluation.metrics import Metrics, checked, log_softmax, measure
from fedrobust.evaluation.sensitivity import disease_score, sensitivity_at

SPECIFICITY = 0.9

FEWEST_OF_A_KIND = 5
"""Fewest errors, images of a class, or images that determine an AUC, for which an interval's coverage is nominal;
measured by `experiments/reliability/interval_coverage.py`."""

FEWEST_TO_CALIBRATE = 10
"""Fewest errors, and fewest correct predictions, for which that of a calibration error's interval is."""


@dataclass(frozen=True)
class Figure:
    """One metric.

    Attributes:
        value: None if undefined, as sensitivity without images of disease.
        interval: its 95 % limits, which always include the value.
        constant: value of the constant classifier (most frequent class).
        method: of the interval: "Wilson", "MOVER", "DeLong", "delta", "Fisher" or "test inversion".
        counts: (k, n) if the metric is a share k / n.
        few: the sample that is too small for a coverage of 92 to 98 %, such as "6 wrong"; None if none is.
    """

    value: float | None
    interval: Interval | None
    constant: float | None
    method: str
    counts: tuple[int, int] | None = None
    few: str | None = None


def share_figure(hits: int, n: int, constant: float | None) -> Figure:
    """Return the metric of a share of images.

    Example:
        >>> share_figure(155, 156, None).few
        '1 of 156'
    """
    return Figure(hits / n, wilson(hits, n), constant, "Wilson", (hits, n), too_few(hits, n))


def figures(labels: ArrayLike, logits: ArrayLike, disease: Sequence[int] = ()) -> dict[str, Figure]:
    """Return the metrics of `logits` against `labels` by name.

    ``accuracy``, ``balanced accuracy``, ``auc``; ``mcc``, Matthews' correlation coefficient; ``recall CLASS``;
    ``calibration error``, the unbiased root mean square gap between confidence and accuracy; and, if labels mean
    disease, ``sensitivity at 90% specificity`` of P(disease), the sum of these labels' probabilities, and ``disease
    missed``, the share of diseased images that are predicted as a healthy class.

    Args:
        labels: (n,) true classes.
        logits: (n, C).
        disease: the labels that mean disease, such as 0 of BreastMNIST.

    Raises:
        ValueError: the shapes do not fit; see `measure`.

    Example:
        >>> always_benign = np.tile([0.0, 1.0], (156, 1))
        >>> found = figures(np.repeat([0, 1], [42, 114]), always_benign, disease=(0,))
        >>> found["disease missed"].counts, found["mcc"].value
        ((42, 42), 0.0)
    """
    truth, outputs = checked(labels, logits)
    classes = outputs.shape[1]
    metrics = measure(truth, outputs)
    answers = outputs.argmax(axis=1)
    majority = int(np.bincount(truth, minlength=classes).argmax())
    confusion = confusion_matrix(truth, answers, classes)
    auc = metrics.auc
    found = {
        "accuracy": share_figure(metrics.correct, metrics.n, metrics.majority_rate),
        "balanced accuracy": Figure(
            metrics.balanced_accuracy,
            metrics.interval["balanced_accuracy"],
            1 / len(np.unique(truth)),
            "MOVER",
            few=_few_in_a_class(confusion),
        ),
        "auc": Figure(
            auc,
            metrics.interval["auc"],
            None if auc is None else 0.5,
            "DeLong",
            few=_few_for_area(metrics, confusion.sum(axis=1)),
        ),
        "mcc": _mcc_figure(confusion),
    }
    for label, images in enumerate(confusion.sum(axis=1).tolist()):
        if images:
            hits = int(confusion[label, label])
            found[f"recall {label}"] = share_figure(hits, images, float(label == majority))
    found["calibration error"] = _calibration_figure(truth, outputs)
    if disease:
        found |= _of_disease(truth, outputs, answers, disease, majority)
    return found


def _few_in_a_class(confusion: NDArray[np.integer]) -> str | None:
    """Return the sample that is too small for the interval of a mean over classes; None if none is.

    Recalls of 0 or 1 have one-sided intervals; if nearly all are, the interval of their mean covers too much.
    """
    images = confusion.sum(axis=1)
    scarcest = int(images[images > 0].min())
    if scarcest < FEWEST_OF_A_KIND:
        return f"{scarcest} of a class"
    if images.sum() < FEWEST_IMAGES:
        return f"{images.sum()} in all"
    hits = np.diag(confusion)
    inside = int(np.minimum(hits, images - hits).sum())
    return None if inside >= FEWEST_OF_A_KIND else f"{inside} unlike the rest of their class"


def _few_for_area(metrics: Metrics, images: NDArray[np.integer]) -> str | None:
    if metrics.auc is None:
        return None
    scarcest = int(np.minimum(images, metrics.n - images)[images > 0].min())
    if scarcest < FEWEST_OF_A_KIND:
        return f"{scarcest} of a class"
    decide = metrics.auc_degrees
    return None if decide >= FEWEST_OF_A_KIND else f"{decide:.0f} decide the area"


def _mcc_figure(confusion: NDArray[np.integer]) -> Figure:
    value = float(matthews(confusion))
    interval, method = matthews_interval(confusion)
    n = int(confusion.sum())
    wrong = n - int(np.trace(confusion))
    few = None if n >= FEWEST_IMAGES else f"{n} in all"
    for count, what in (
        (wrong, "wrong"),
        (n - wrong, "right"),
        (n - int(confusion.sum(axis=0).max()), "outside the most frequent answer"),
        (n - int(confusion.sum(axis=1).max()), "outside the most frequent class"),
    ):
        if few is None and count < FEWEST_OF_A_KIND:
            few = f"{count} {what}"
    return Figure(value, interval, 0.0, method, few=few)


def _calibration_figure(truth: NDArray[np.integer], outputs: NDArray[np.float64]) -> Figure:
    confidence = np.exp(log_softmax(outputs).max(axis=1))
    right = outputs.argmax(axis=1) == truth
    found = calibration_error(right, confidence)
    if found is None:
        return Figure(None, None, None, "test inversion")
    # A constant classifier whose confidence is its class' frequency is calibrated.
    return Figure(found.value, found.interval, 0.0, "test inversion", few=few_to_calibrate(right))


def few_to_calibrate(right: NDArray[np.bool_]) -> str | None:
    """Return the sample that is too small, among predictions (n,), for the interval of a calibration error.

    Example:
        >>> few_to_calibrate(np.repeat([True, False], [150, 6]))
        '6 wrong'
    """
    n, hits = len(right), int(right.sum())
    if n < FEWEST_IMAGES:
        return f"{n} in all"
    count, what = min((n - hits, "wrong"), (hits, "right"))
    return f"{count} {what}" if count < FEWEST_TO_CALIBRATE else None


def _of_disease(
    truth: NDArray[np.integer],
    outputs: NDArray[np.float64],
    answers: NDArray[np.integer],
    disease: Sequence[int],
    majority: int,
) -> dict[str, Figure]:
    diseased = np.isin(truth, list(disease))
    n = int(diseased.sum())
    if not n or diseased.all():
        return {}
    found = sensitivity_at(disease_score(outputs, disease), diseased, SPECIFICITY)
    healthy = len(truth) - n
    few = too_few(found.found, n) or (f"{healthy} healthy" if healthy < FEWEST_IMAGES else None)
    missed = int((~np.isin(answers[diseased], list(disease))).sum())
    return {
        f"sensitivity at {SPECIFICITY:.0%} specificity": Figure(
            found.value, found.interval, 1 - SPECIFICITY, "Wilson", few=few
        ),
        "disease missed": share_figure(missed, n, float(majority not in disease)),
    }
