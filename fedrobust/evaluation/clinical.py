"""What a classifier's answers mean at the bedside, each figure with its interval and a constant classifier's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.evaluation.intervals import Interval, two_sided_quantile, wilson
from fedrobust.evaluation.metrics import checked, log_odds, log_softmax, measure
from fedrobust.randomness import Purpose, generator

RESAMPLES = 1000
SPECIFICITY = 0.9
BINS = 15


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        value: None where it does not exist, as sensitivity where no image shows disease.
        interval: its 95 % limits.
        constant: what always answering the most frequent class would have.
        method: how the interval came about: "Wilson", "MOVER", "DeLong", "bootstrap" or "Fisher".
        counts: (k, n) where the figure is a share k / n.
    """

    value: float | None
    interval: Interval | None
    constant: float | None
    method: str
    counts: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain data."""
        return {
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "constant": self.constant,
            "method": self.method,
            "counts": None if self.counts is None else list(self.counts),
        }


def figures(
    labels: ArrayLike, logits: ArrayLike, disease: Sequence[int] = (), seed: int = 0
) -> dict[str, Figure]:
    """Return the figures of `logits` against `labels`.

    ``accuracy``, ``balanced accuracy``, ``auc``; ``mcc``, Matthews' correlation of answers and truth (Gorodkin, 2004,
    for more than two classes); ``recall CLASS``; ``calibration error``, the expected one over 15 bins of equal width
    (Guo et al., 2017, arXiv:1706.04599, eq. 5); and, where labels mean disease, ``sensitivity at 90% specificity``
    and ``disease missed``, the share of the diseased who are given a healthy class.

    Args:
        labels: (n,) true classes.
        logits: (n, C).
        disease: the labels that mean disease; of BreastMNIST, 0.
        seed: of the bootstrap.

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
    draws = generator(seed, Purpose.EVALUATION).integers(0, len(truth), (RESAMPLES, len(truth)))
    majority = int(np.bincount(truth, minlength=classes).argmax())
    present = len(np.unique(truth))
    found = {
        "accuracy": Figure(
            metrics.accuracy,
            metrics.interval["accuracy"],
            metrics.majority_rate,
            "Wilson",
            (metrics.correct, metrics.n),
        ),
        "balanced accuracy": Figure(
            metrics.balanced_accuracy, metrics.interval["balanced_accuracy"], 1 / present, "MOVER"
        ),
        "auc": Figure(metrics.auc, metrics.interval["auc"], None if metrics.auc is None else 0.5, "DeLong"),
        "mcc": _mcc_figure(truth, answers, classes, draws),
    }
    for label in range(classes):
        images = truth == label
        if images.any():
            hit, n = int((answers[images] == label).sum()), int(images.sum())
            found[f"recall {label}"] = Figure(
                hit / n, wilson(hit, n), float(label == majority), "Wilson", (hit, n)
            )
    found["calibration error"] = _calibration_figure(truth, outputs, draws)
    if disease:
        found |= _of_disease(truth, outputs, answers, disease, majority, draws)
    return found


def matthews(confusion: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return Matthews' correlation of confusion matrices (..., C, C), rows the truth; 0 where one side is constant.

    Example:
        >>> float(matthews(np.array([[5.0, 0.0], [0.0, 5.0]])))
        1.0
    """
    counts = np.asarray(confusion, np.float64)
    n = counts.sum(axis=(-2, -1))
    right = np.trace(counts, axis1=-2, axis2=-1)
    true, said = counts.sum(axis=-1), counts.sum(axis=-2)
    above = right * n - (true * said).sum(axis=-1)
    below = np.sqrt((n**2 - (true**2).sum(axis=-1)) * (n**2 - (said**2).sum(axis=-1)))
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def calibration_error(right: NDArray[np.bool_], confidence: NDArray[np.floating]) -> float:
    """Return the expected calibration error: the mean gap of accuracy and confidence over bins, by their images.

    Example:
        >>> calibration_error(np.array([True, False]), np.array([0.99, 0.99]))
        0.49
    """
    return float(round(_calibration(right[None], confidence[None])[0], 12))


def sensitivity_at(scores: NDArray[np.floating], diseased: NDArray[np.bool_], specificity: float) -> float:
    """Return the share of the diseased found at the lowest threshold that leaves `specificity` of the healthy alone.

    Example:
        >>> sensitivity_at(np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, False, True, True]), 0.9)
        1.0
    """
    healthy = np.sort(scores[~diseased])
    threshold = healthy[min(len(healthy) - 1, int(np.ceil(specificity * len(healthy))) - 1)]
    return float((scores[diseased] > threshold).mean())


def _bootstrap(
    values: NDArray[np.floating], fallback: Callable[[], Interval], method: str
) -> tuple[Interval, str]:
    """Return the percentile interval of resampled values; `fallback` where they do not vary."""
    low, high = (float(limit) for limit in np.quantile(values, [0.025, 0.975]))
    return (fallback(), method) if high - low < 1e-12 else ((low, high), "bootstrap")


def _mcc_figure(
    truth: NDArray[np.integer], answers: NDArray[np.integer], classes: int, draws: NDArray[np.int64]
) -> Figure:
    def confusion(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        pairs = (truth * classes + answers)[rows] + (np.arange(len(rows)) * classes**2)[:, None]
        counts = np.bincount(pairs.ravel(), minlength=len(rows) * classes**2)
        return counts.reshape(len(rows), classes, classes).astype(np.float64)

    value = float(matthews(confusion(np.arange(len(truth))[None]))[0])

    extreme = abs(value) > 1 - 1e-9

    def where_nothing_varies() -> Interval:
        if extreme:  # no error, or nothing but errors: as far as so many images can tell
            floor = (wilson(len(truth), len(truth))[0] - 1 / classes) / (1 - 1 / classes)
            return (floor, 1.0) if value > 0 else (-1.0, -floor)
        reach = two_sided_quantile(0.95) / np.sqrt(max(len(truth) - 3, 1))
        centre = np.arctanh(np.clip(value, -0.999999, 0.999999))
        return float(np.tanh(centre - reach)), float(np.tanh(centre + reach))

    interval, method = _bootstrap(
        matthews(confusion(draws)), where_nothing_varies, "Wilson" if extreme else "Fisher"
    )
    return Figure(value, interval, 0.0, method)


def _calibration(right: NDArray[np.bool_], confidence: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the error of every row, (rows, n) -> (rows,)."""
    rows, n = right.shape
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1) + (np.arange(rows) * BINS)[:, None]
    gaps = np.bincount(places.ravel(), (right - confidence).ravel(), minlength=rows * BINS)
    return np.abs(gaps.reshape(rows, BINS)).sum(axis=1) / n


def _calibration_figure(
    truth: NDArray[np.integer], outputs: NDArray[np.float64], draws: NDArray[np.int64]
) -> Figure:
    confidence = np.exp(log_softmax(outputs).max(axis=1))
    right = outputs.argmax(axis=1) == truth
    value = float(_calibration(right[None], confidence[None])[0])
    resampled = _calibration(right[draws], confidence[draws])
    interval, method = _bootstrap(resampled, lambda: wilson(value * len(truth), len(truth)), "Wilson")
    # A constant classifier that knows how often its class comes is calibrated.
    return Figure(value, interval, 0.0, method)


def _of_disease(
    truth: NDArray[np.integer],
    outputs: NDArray[np.float64],
    answers: NDArray[np.integer],
    disease: Sequence[int],
    majority: int,
    draws: NDArray[np.int64],
) -> dict[str, Figure]:
    diseased = np.isin(truth, list(disease))
    n = int(diseased.sum())
    if not n or diseased.all():
        return {}
    missed = int((~np.isin(answers[diseased], list(disease))).sum())
    odds = log_odds(outputs)
    scores = odds[:, list(disease)].max(axis=1)
    value = sensitivity_at(scores, diseased, SPECIFICITY)
    resampled = [
        sensitivity_at(scores[rows], diseased[rows], SPECIFICITY)
        for rows in draws
        if diseased[rows].any() and not diseased[rows].all()
    ]
    interval, method = _bootstrap(np.array(resampled), lambda: wilson(value * n, n), "Wilson")
    return {
        f"sensitivity at {SPECIFICITY:.0%} specificity": Figure(value, interval, 1 - SPECIFICITY, method),
        "disease missed": Figure(
            missed / n, wilson(missed, n), float(majority not in disease), "Wilson", (missed, n)
        ),
    }
