"""Compare a model's gradient with finite differences of its logits."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion import TargetModel
from fedrobust.evasion.models.protocol import Labels, decided, margins
from fedrobust.evasion.rng import keys_of, normal
from fedrobust.evasion.threat import Images, Threat, column

SMALL = 1e-4
"""The shortest finite difference, in pixel values: below it rounding of float32 dominates."""

MIDDLE = 2 / 255
"""The longest finite difference: networks are not linear over longer ones."""

NEAR = 0.5
"""Largest relative difference between a finite difference and the gradient's prediction."""


DIRECTIONS = 6
"""Number of random directions of each kind."""


Direction = Callable[[Images, NDArray[np.uint64], int], Images]
"""(images, keys of the images, a counter) -> a direction for each image."""


@dataclass(frozen=True)
class Explained:
    """The masks of images whose change of the margin is predicted by the gradient, by direction and step.

    Attributes:
        along: (3, n) along the gradient's own steepest direction, over the short, the middle and the long step.
        white: (n,) along random directions, over the short step.
        low: (n,) along random directions of low frequency, over the short step.
    """

    along: NDArray[np.bool_]
    white: NDArray[np.bool_]
    low: NDArray[np.bool_]

    @property
    def nearby(self) -> NDArray[np.bool_]:
        """(n,) mask of images predicted along all directions over the short step."""
        return self.along[0] & self.white & self.low


def explained(
    target: TargetModel, images: Images, labels: Labels, threat: Threat, epsilon: float, seed: int = 0
) -> Explained:
    """Compare the directional derivatives of the margin with finite differences.

    With random directions the whole vector of changes is compared: its difference from the predicted one is at most
    half of its length. The gradient of another function may increase the margin by chance, but cannot predict the size
    of the change along a dozen directions.

    Args:
        target: the model.
        images: (n, height, width, channels) float32 in [0, 1].
        labels: (n,) the classes whose margin is measured.
        threat: its norm is that of the steps.
        epsilon: the longest step, up to two grey levels; the middle one is a quarter of it, the short one at most a
            sixteenth.
        seed: of the directions.

    Raises:
        NotDifferentiableError: the model has no gradient.

    Example:
        >>> from fedrobust.evasion.models.protocol import Slopes
        >>> class Bright:  # the logit of class 1 is the mean of the pixels; `lie` flips the gradient that is shown
        ...     shape, classes, lie = (2, 2, 1), 2, 1.0
        ...     def logits(self, images):
        ...         mean = images.mean(axis=(1, 2, 3)) - 0.5
        ...         return np.stack([np.zeros(len(images)), mean], axis=1)
        ...     def gradient(self, images, labels, loss, targets=None):
        ...         up = self.lie * np.where(labels == 1, -0.25, 0.25)[:, None, None, None]
        ...         return Slopes(self.logits(images), np.zeros(len(images)), up * np.ones_like(images))
        >>> model, images = Bright(), np.full((1, 2, 2, 1), 0.5, np.float32)
        >>> bool(explained(model, images, np.array([0]), Threat(), 0.1).nearby.all())
        True
        >>> model.lie = -1.0
        >>> bool(explained(model, images, np.array([0]), Threat(), 0.1).nearby.any())
        False
    """
    steps = lengths_of(epsilon, threat, images[0].size)
    seen = target.gradient(images, labels, "margin")
    slope = np.nan_to_num(seen.gradients.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    before = _margins(target, images, labels)
    keys = keys_of(seed, np.arange(len(images)))

    def changes(direction: Images, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        moved = np.clip(images + np.float32(step) * threat.steepest(direction), 0.0, 1.0)
        predicted = (slope * (moved.astype(np.float64) - images)).sum(axis=(1, 2, 3))
        return predicted, _margins(target, moved, labels) - before

    def close(direction: Direction, step: float, count: int) -> NDArray[np.bool_]:
        pairs = [changes(direction(images, keys, counter), step) for counter in range(count)]
        predicted, measured = (np.stack(values) for values in zip(*pairs, strict=True))
        apart = np.sqrt(((predicted - measured) ** 2).sum(axis=0))
        length = np.sqrt((measured**2).sum(axis=0))
        return (apart <= NEAR * length) & (length > 0)

    def steepest(images: Images, keys: NDArray[np.uint64], counter: int) -> Images:
        return seen.gradients

    return Explained(
        np.stack([close(steepest, step, 1) for step in steps]),
        close(_white, steps[0], DIRECTIONS),
        close(low_frequency, steps[0], DIRECTIONS),
    )


def lengths_of(epsilon: float, threat: Threat, size: int) -> tuple[float, float, float]:
    """Return the lengths of the three finite differences, in the threat's norm.

    Args:
        epsilon: of the threat.
        threat: in l2 the change of every pixel is sqrt(size) times as long.
        size: number of values of an image.

    Example:
        >>> [round(255 * step, 4) for step in lengths_of(8 / 255, Threat(), 784)]
        [0.0255, 0.5, 2.0]
    """
    many = math.sqrt(size) if threat.norm == "l2" else 1.0
    longest = min(epsilon, MIDDLE * many)
    return min(longest / 16, SMALL * many), longest / 4, longest


def jumps(
    target: TargetModel, first: Images, second: Images, threat: Threat, step: float
) -> NDArray[np.float64]:
    """Return the share of the margin between two images that changes at the decision boundary, (pairs,).

    The boundary on the segment between the images is found by bisection. The margins one step before and one step
    behind it are compared, as a share of the change over the whole segment: the output of a saturated head changes at
    the boundary only.

    Args:
        target: the model.
        first: (pairs, height, width, channels) float32 in [0, 1].
        second: the same shape; of another predicted class than `first`.
        threat: its norm is that of the step.
        step: distance from the boundary.
    """
    answer = target.logits(first).argmax(axis=1).astype(np.int32)
    low, high = np.zeros(len(first)), np.ones(len(first))

    def at(place: NDArray[np.float64]) -> Images:
        return first + (second - first) * column(place)

    for _ in range(22):
        middle = (low + high) / 2
        lost = decided(target.logits(at(middle)), answer).argmax(axis=1) != answer
        low, high = np.where(lost, low, middle), np.where(lost, middle, high)
    reach = step / np.maximum(threat.distance(second, first), 1e-12)
    ends = _margins(target, second, answer) - _margins(target, first, answer)
    here = _margins(target, at(np.minimum(high + reach, 1.0)), answer)
    there = _margins(target, at(np.maximum(low - reach, 0.0)), answer)
    return np.abs(here - there) / np.maximum(np.abs(ends), 1e-300)


def low_frequency(images: Images, keys: NDArray[np.uint64], counter: int) -> Images:
    """Return a random mixture of the sixteen cosine waves of lowest frequency for each image, in the images' shape."""
    _, height, width, channels = images.shape
    waves = min(4, height, width)
    weights = normal(keys, 1000 + counter, (waves, waves, channels)).astype(np.float32)
    rows, columns = _cosines(height, waves), _cosines(width, waves)
    return np.einsum("nuvc,uh,vw->nhwc", weights, rows, columns).astype(np.float32)


def _white(images: Images, keys: NDArray[np.uint64], counter: int) -> Images:
    return normal(keys, counter, images.shape[1:]).astype(np.float32)


def _cosines(size: int, waves: int) -> NDArray[np.float32]:
    place = (np.arange(size) + 0.5) / size
    return np.cos(np.pi * np.arange(waves)[:, None] * place[None, :]).astype(np.float32)


def _margins(target: TargetModel, images: Images, labels: Labels) -> NDArray[np.float64]:
    return margins(decided(target.logits(images), labels), labels)
