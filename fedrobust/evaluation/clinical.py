"""What a classifier's answers mean at the bedside, each figure with its interval and a constant classifier's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.evaluation.calibration_error import calibration_error
from fedrobust.evaluation.intervals import FEWEST_IMAGES, Interval, too_few, wilson
from fedrobust.evaluation.matthews import matthews, matthews_interval
from fedrobust.evaluation.metrics import Metrics, checked, log_softmax, measure
from fedrobust.evaluation.sensitivity import disease_score, sensitivity_at

SPECIFICITY = 0.9

FEWEST_OF_A_KIND = 5
"""Wrong answers, images of a class, images that decide an area: from so many on their figures' intervals are held to
cover as they say. `experiments/reliability/interval_coverage.py` measures it."""

FEWEST_TO_CALIBRATE = 10
"""Wrong answers, and right ones, from which on the interval of a calibration error is."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        value: None where it does not exist, as sensitivity where no image shows disease.
        interval: its 95 % limits; the value is never outside.
        constant: what always answering the most frequent class would have.
        method: how the interval came about: "Wilson", "MOVER", "DeLong", "delta", "Fisher" or "test inversion".
        counts: (k, n) where the figure is a share k / n.
        few: what there is too little of for the interval to cover the truth in 92 to 98 % of all samples.
    """

    value: float | None
    interval: Interval | None
    constant: float | None
    method: str
    counts: tuple[int, int] | None = None
    few: str | None = None


def share_figure(hits: int, n: int, constant: float | None) -> Figure:
    """Return the figure of a share of images.

    Example:
        >>> share_figure(155, 156, None).few
        '1 of 156'
    """
    return Figure(hits / n, wilson(hits, n), constant, "Wilson", (hits, n), too_few(hits, n))


def figures(labels: ArrayLike, logits: ArrayLike, disease: Sequence[int] = ()) -> dict[str, Figure]:
    """Return the figures of `logits` against `labels`.

    ``accuracy``, ``balanced accuracy``, ``auc``; ``mcc``, Matthews' correlation of answers and truth; ``recall CLASS``;
    ``calibration error``, the root mean square gap of confidence and accuracy, without the bias of small samples; and,
    where labels mean disease, ``sensitivity at 90% specificity`` of P(disease), the sum of these labels' probabilities,
    and ``disease missed``, the share of the diseased who are given a healthy class.

    Args:
        labels: (n,) true classes.
        logits: (n, C).
        disease: the labels that mean disease; of BreastMNIST, 0.

    Raises:
        ValueError: the arrays do not fit each other; see `measure`.

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
    confusion = np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)
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
    """Return which class has too few images for the interval of a mean over classes, or that hardly a recall is inside.

    A recall of 0 or 1 has an interval on one side only; where nearly all are, those of their mean cover more than said.
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
    # A constant classifier that knows how often its class comes is calibrated.
    return Figure(found.value, found.interval, 0.0, "test inversion", few=few_to_calibrate(right))


def few_to_calibrate(right: NDArray[np.bool_]) -> str | None:
    """Return what there is too little of, among answers (n,), for the interval of a calibration error.

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
