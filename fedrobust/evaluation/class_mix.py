"""What a model is worth to one client: test images, weighted by the client's share of each class."""

from dataclasses import dataclass

import numpy as np

from fedrobust.evaluation.intervals import Interval, two_sided_quantile


@dataclass(frozen=True)
class Gain:
    """How much more of a client's patients one model gets right than another.

    Attributes:
        value: difference of the accuracies that the client may expect.
        interval: of it.
    """

    value: float
    interval: Interval


def known_mix(labels: np.ndarray, mix: np.ndarray) -> np.ndarray | None:
    """Return a client's share of each class (classes,), of those classes alone that are among the test `labels`.

    None where it has none of these.

    Example:
        >>> known_mix(np.array([0, 0, 1]), np.array([0.3, 0.1, 0.6])).round(3).tolist()
        [0.75, 0.25, 0.0]
    """
    known = np.where(np.bincount(labels, minlength=len(mix)) > 0, mix, 0.0)
    total = known.sum()
    return known / total if total else None


def expected_accuracy(labels: np.ndarray, right: np.ndarray, mix: np.ndarray) -> tuple[float, float]:
    """Return the accuracy that a client may expect of a model, and the balanced accuracy over its classes.

    The accuracy is the recall of each class on the test images, weighted by `mix`: what the model gets right among the
    client's own patients, if they come as they came.

    Args:
        labels: (n,) true classes of the test images.
        right: (n,) bool, whether the model gives each its label.
        mix: (classes,) the client's share of each class, see `known_mix`.

    Example:
        >>> labels, right = np.array([0, 0, 1, 1]), np.array([True, True, True, False])
        >>> expected_accuracy(labels, right, np.array([0.25, 0.75]))
        (0.625, 0.75)
    """
    recall = _by_class(labels, right, mix)
    return float(recall @ mix), float(recall[mix > 0].mean())


def gain(labels: np.ndarray, one: np.ndarray, other: np.ndarray, mix: np.ndarray, confidence: float) -> Gain:
    """Return how much more accuracy a client may expect of one model than of another, with an interval.

    The models are compared image by image. Of class k, b images are right with the first model alone and c with the
    second alone; half an image is added to each of the four counts, so that no interval has zero width (Agresti and
    Min, 2005, Simple improved confidence intervals for comparing matched proportions). The interval is the normal one
    of the sum over classes, each weighted by `mix`. It is about these two models and the drawing of test images: not
    about what another seed would have trained.

    Args:
        labels: (n,) true classes of the test images.
        one: (n,) bool, whether the first model is right.
        other: (n,) bool, whether the second is.
        mix: (classes,) the client's share of each class, see `known_mix`.
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
    """Return the mean of `values` over the images of each class, 0 where there are none."""
    counts = np.bincount(labels, minlength=len(mix))
    return np.bincount(labels, values, minlength=len(mix)) / np.maximum(counts, 1)
