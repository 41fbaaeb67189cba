"""The contract of detectors, and their registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedrobust.registry import Registry

DETECTORS = Registry("detector", "fedrobust.detectors")

FEWEST = 20
"""Fewest validation images: with fewer in one half, its largest score is the threshold whatever the rate."""

Score = Callable[[Any], Any]
"""Images (n, height, width, channels) to scores (n,), larger for a more suspicious image; differentiable."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The clean images and the model that a detector is fitted to.

    Attributes:
        images: (n, height, width, channels) float32 in [0, 1].
        labels: (n,) int32.
        answers: from images to logits (n, classes); differentiable by TensorFlow.
        features: from images to the inputs (n, d) of the model's last Dense layer.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    answers: Callable[[Any], Any]
    features: Callable[[Any], Any]


class Detector(Protocol):
    """Settings of a detector: a frozen dataclass.

    With the class attribute ``needs_features = True`` it takes the features of a last Dense layer, and is refused with
    models that end otherwise.
    """

    def fitted(self, to: Seen) -> Score:
        """Return the score of suspicion, fitted to clean images."""
        ...


def needs_features(detector: Detector) -> bool:
    """Return whether a detector takes the inputs of the model's last Dense layer.

    Example:
        >>> from fedrobust.detectors.mahalanobis import Mahalanobis
        >>> needs_features(Mahalanobis())
        True
    """
    return bool(getattr(detector, "needs_features", False))
