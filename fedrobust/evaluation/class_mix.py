"""The expected accuracy at one client: test images weighted by the client's class distribution."""

from dataclasses import dataclass

import numpy as np

from fedrobust.evaluation.intervals import Interval, two_sided_quantile


@dataclass(frozen=True)
class Gain:
    """The gain of one model over another at a client.

    Attributes:
        value: difference of the client's expected accuracies.
        interval: its confidence interval.
    """

    value: float
    interval: Interval


def known_mix(labels: np.ndarray, mix: np.ndarray) -> np.ndarray | None:
    """Return a client's class distribution (classes,), restricted to the classes among the test `labels`.

    None if the client has no image of these classes.

    Example:
        >>> known_mix(np.array([0, 0, 1]), np.array([0.3, 0.1, 0.6])).round(3).tolist()
        [0.75, 0.25, 0.0]
    """
    known = np.where(np.bincount(labels, minlength=len(mix)) > 0, mix, 0.0)
    total = known.sum()
    return known / total if total else None


def expected_accuracy(labels: np.ndarray, right: np.ndarray, mix: np.ndarray) -> tuple[float, float]:
    """Return a model's expected accuracy at a client, and the balanced accuracy over the client's classes.

    The expected accuracy is the mean of the classes' recalls on the test images, weighted by the client's class
    distribution `mix`.

    Args:
        labels: (n,) true classes of the test images.
        right: (n,) bool, whether the model's prediction is correct.
        mix: (classes,) the client's class distribution, see `known_mix`.

    Example:
        >>> labels, right = np.array([0, 0, 1, 1]), np.array([True, True, True, False])
        >>> expected_accuracy(labels, right, np.array([0.25, 0.75]))
        (0.625, 0.75)
    """
    recall = _by_class(labels, right, mix)
    return float(recall @ mix), float(recall[mix > 0].mean())


def gain(labels: np.ndarray, one: np.ndarray, other: np.ndarray, mix: np.ndarray, confidence: float) -> Gain:
    """Return the difference of two models' expected accuracies at a client, with an interval.

    The comparison is paired by image. Of class k, b images are correct with the first model only and c with the second
    only; half an image is added to each of the four counts, so that no interval has zero width (Agresti and Min, 2005,
    Simple improved confidence intervals for comparing matched proportions). The interval is the normal one of the sum
    over classes weighted by `mix`. It covers the sampling of test images, not the variation between seeds.

    Args:
        labels: (n,) true classes of the test images.
        one: (n,) bool, whether the first model is correct.
        other: (n,) bool, whether the second is.
        mix: (classes,) the client's class distribution, see `known_mix`.
        confidence: of the interval.

    Example:
        >>> labels = np.zeros(100, int)
        >>> found = gain(labels, np.arange(100) < 90, np.arange(100) < 60, np.array([1.0]), confidence=0.95)
        >>> round(found.value, 2), [round(limit, 2) for limit in found.interval]
        (0.3, [0.2, 0.38])
    """
    moved = one.astype(np.float64) - other
    n = np.maximum(np.bincount(labels, minlength=len(mix)), 1) + 2.0
    up, down = (np.bincount(labels, moved == sign, minlength=len(mix)) + 0.5 for sign in (1, -1))
    centre = (up - down) / n
    variance = ((up + down) / n - centre**2) / n
    middle = float(centre @ mix)
    reach = two_sided_quantile(confidence) * float(np.sqrt(variance @ mix**2))
    value = float(_by_class(labels, moved, mix) @ mix)
    return Gain(value, (max(-1.0, middle - reach), min(1.0, middle + reach)))


def _by_class(labels: np.ndarray, values: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Return the mean of `values` over the images of each class, 0 for absent classes."""
    counts = np.bincount(labels, minlength=len(mix))
    return np.bincount(labels, values, minlength=len(mix)) / np.maximum(counts, 1)
