"""Metrics of a classifier's logits on labelled images, with confidence intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from fedrobust.errors import FedrobustError
from fedrobust.evaluation.intervals import Floats, Integers, Interval, mean_of_proportions, wilson
from fedrobust.evaluation.roc import area_under_roc
from fedrobust.evaluation.scores.contract import NONE_FURTHER, Metric


class Intervals(TypedDict):
    """The confidence intervals of the metrics of the same names in `Metrics`."""

    accuracy: Interval
    balanced_accuracy: Interval
    auc: Interval | None
    recall: tuple[Interval | None, ...]


@dataclass(frozen=True)
class LabelMetrics:
    """The metrics of one finding of multi-label images; None where it is not defined.

    Attributes:
        positives: number of images that have it.
        auc: area under its ROC curve.
        auc_interval: DeLong's.
        sensitivity: share of the images with it that are answered right.
        sensitivity_interval: Wilson's.
        specificity: share of the images without it that are answered right.
        specificity_interval: Wilson's.
        accuracy: share of right answers.
        majority_rate: accuracy of the constant classifier.
    """

    positives: int
    auc: float | None
    auc_interval: Interval | None
    sensitivity: float | None
    sensitivity_interval: Interval | None
    specificity: float | None
    specificity_interval: Interval | None
    accuracy: float
    majority_rate: float

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of sensitivity and specificity."""
        if self.sensitivity is None or self.specificity is None:
            return None
        return (self.sensitivity + self.specificity) / 2


@dataclass(frozen=True)
class Metrics:
    """The metrics of one evaluation, from `measure` or, of multi-label images, `measure_multilabel`.

    Args:
        n: number of images.
        correct: number of correctly classified images.
        accuracy: correct / n.
        balanced_accuracy: mean recall over the classes present in the labels.
        auc: as MedMNIST defines it, over the classes present; None if the labels hold one class only.
        recall: share of each class's images that are classified correctly; None for a class without images.
        predicted: number of images predicted as each class, which reveals a constant classifier.
        majority_rate: accuracy of the constant classifier: share of the most frequent class.
        loss: mean cross-entropy in nats.
        interval: limits of accuracy, balanced accuracy, auc and recall.
        further: further metrics of the study by name; None where one is undefined.
        auc_degrees: degrees of freedom of the AUC's variance, about the number of images that determine it.
        further_interval: limits of further metrics, of those that have one.
        labels: of multi-label images, the metrics of each finding.
        majority_exact: of multi-label images, the share of which a constant classifier answers every finding right.
        changed: of attacked multi-label images, the share with an answer that differs from that to the clean image.
    """

    n: int
    correct: int
    accuracy: float
    balanced_accuracy: float
    auc: float | None
    recall: tuple[float | None, ...]
    predicted: tuple[int, ...]
    majority_rate: float
    loss: float
    interval: Intervals
    auc_degrees: float = 0.0
    further: Mapping[str, float | None] = field(default_factory=dict)
    further_interval: Mapping[str, Interval] = field(default_factory=dict)
    labels: tuple[LabelMetrics, ...] = ()
    majority_exact: float | None = None
    changed: float | None = None


class NotFiniteError(FedrobustError, ValueError):
    """A model's logits are NaN or infinite, so that no metric is defined."""


def measure(
    labels: ArrayLike,
    logits: ArrayLike,
    confidence: float = 0.95,
    further: Mapping[str, Metric] = NONE_FURTHER,
) -> Metrics:
    """Return the metrics of `logits` against `labels`.

    Accuracy and recalls have Wilson intervals, balanced accuracy combines those of the recalls, AUC has
    DeLong's (see `fedrobust.evaluation.intervals`).

    Args:
        labels: true classes, integers, shape (n,), in 0 .. C - 1.
        logits: shape (n, C), C >= 2, finite. Logits, not probabilities: the loss takes their softmax.
        confidence: of every interval.
        further: further metrics by name, see `fedrobust.evaluation.scores`.

    Raises:
        ValueError: shapes do not fit, or labels are not in 0 .. C - 1.
        NotFiniteError: logits are not finite.

    Example:
        >>> always_benign = np.tile([0.0, 1.0], (156, 1))
        >>> metrics = measure(np.repeat([0, 1], [42, 114]), always_benign)
        >>> round(metrics.accuracy, 4), metrics.balanced_accuracy, metrics.auc
        (0.7308, 0.5, 0.5)
        >>> metrics.predicted, metrics.accuracy == metrics.majority_rate
        ((0, 156), True)
    """
    truth, outputs = checked(labels, logits)
    log_probabilities = log_softmax(outputs)
    classes = outputs.shape[1]
    predictions = np.argmax(outputs, axis=1)
    images = np.bincount(truth, minlength=classes)
    hits = np.bincount(truth[predictions == truth], minlength=classes)
    present = images > 0
    correct = int(hits.sum())
    area = area_under_roc(truth, log_odds(outputs), confidence)
    counts = [(int(hit), int(total)) for hit, total in zip(hits, images, strict=True)]
    return Metrics(
        n=truth.size,
        correct=correct,
        accuracy=correct / truth.size,
        balanced_accuracy=float(np.mean(hits[present] / images[present])),
        auc=None if area is None else area.value,
        recall=tuple(hit / total if total else None for hit, total in counts),
        predicted=tuple(np.bincount(predictions, minlength=classes).tolist()),
        majority_rate=int(images.max()) / truth.size,
        loss=float(-np.mean(log_probabilities[np.arange(truth.size), truth])),
        interval=Intervals(
            accuracy=wilson(correct, truth.size, confidence),
            balanced_accuracy=mean_of_proportions(hits[present], images[present], confidence),
            auc=None if area is None else area.interval,
            recall=tuple(wilson(hit, total, confidence) if total else None for hit, total in counts),
        ),
        auc_degrees=0.0 if area is None else area.degrees,
        further={name: metric(truth, outputs) for name, metric in further.items()},
        further_interval={
            name: metric.interval(truth, outputs, confidence)
            for name, metric in further.items()
            if hasattr(metric, "interval")
        },
    )


def checked(labels: ArrayLike, logits: ArrayLike) -> tuple[Integers, Floats]:
    """Return labels and logits as integer and float64 arrays of fitting shapes.

    Raises:
        ValueError: they do not fit; the message says why.
        NotFiniteError: logits are not finite.
    """
    truth = np.asarray(labels)
    outputs = np.asarray(logits, np.float64)
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(f"logits have shape {outputs.shape}: give (images, classes), classes >= 2")
    if truth.shape != outputs.shape[:1]:
        raise ValueError(f"labels have shape {truth.shape}: give {outputs.shape[:1]}, one per row of logits")
    if truth.size == 0:
        raise ValueError("no images to measure on: give at least one")
    if not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"labels are {truth.dtype}: give integers")
    if truth.min() < 0 or truth.max() >= outputs.shape[1]:
        raise ValueError(
            f"labels run from {truth.min()} to {truth.max()}: logits of {outputs.shape[1]} classes allow "
            f"0 to {outputs.shape[1] - 1}"
        )
    finite(outputs)
    return truth.astype(np.intp), outputs


def finite(logits: Floats) -> None:
    """Refuse `logits` (n, C) that hold NaN or infinity.

    Raises:
        NotFiniteError: they do; the message says in how many rows.
    """
    broken = int(np.count_nonzero(~np.isfinite(logits).all(axis=1)))
    if broken:
        raise NotFiniteError(
            f"{broken} of {len(logits)} rows of logits hold NaN or infinity: the model has diverged, or its "
            "input was not finite; find the round in which its weights became NaN or infinite"
        )


def log_softmax(logits: Floats) -> Floats:
    """Return log softmax of every row, (n, C), without overflow: the largest logit is subtracted first.

    Example:
        >>> log_softmax(np.array([[1000.0, 1000.0]])).round(4)
        array([[-0.6931, -0.6931]])
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def log_odds(logits: Floats) -> Floats:
    """Return log(p_c / (1 - p_c)) of every row's softmax p, (n, C).

    That is z_c - log of the sum of exp(z) over the other classes. It keeps the order of p also where p rounds to 0 or
    1: the confidence of attacked models is often so high that softmax scores would be tied, which changes the AUC.

    Example:
        >>> log_odds(np.array([[0.0, 40.0], [0.0, 50.0]]))[:, 1]
        array([40., 50.])
    """
    rows = np.arange(logits.shape[0])
    largest = np.argmax(logits, axis=1)
    shifted = logits - logits[rows, largest][:, None]
    without_largest = shifted.copy()
    without_largest[rows, largest] = -np.inf
    second = without_largest.max(axis=1, keepdims=True)
    relative = np.exp(without_largest - second).sum(axis=1)
    rest = np.exp(without_largest).sum(axis=1, keepdims=True)
    odds: Floats = shifted - np.log1p(rest - np.exp(without_largest))
    odds[rows, largest] = -(second[:, 0] + np.log(relative))
    return odds
