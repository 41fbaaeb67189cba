"""A reliability diagram: how often predictions are right, by their confidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.evaluation.intervals import Floats


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of similar confidence.

    Args:
        n: predictions.
        correct: of these, right ones.
        confidence: their mean confidence.
    """

    n: int
    correct: int
    confidence: float


def reliability(right: NDArray[np.bool_], confidence: Floats, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Return predictions in at most `bins` groups of about equal size by confidence; equal confidences are together.

    Args:
        right: (n,) whether the prediction is correct.
        confidence: (n,) largest softmax probability.
        bins: the most groups.

    Source: DeGroot and Fienberg (1983), The comparison and evaluation of forecasters; Nguyen and O'Connor (2015),
    arXiv:1508.05154 (groups of equal size).

    Example:
        >>> reliability(np.array([True, False, True, True]), np.array([0.6, 0.6, 0.9, 0.7]), bins=2)
        (ReliabilityBin(n=2, correct=1, confidence=0.6), ReliabilityBin(n=2, correct=2, confidence=0.8))
    """
    edges = np.unique(np.sort(confidence)[np.arange(1, bins) * len(confidence) // bins])
    place = np.searchsorted(edges, confidence, side="right")
    groups = [place == each for each in np.unique(place)]
    return tuple(
        ReliabilityBin(int(one.sum()), int(right[one].sum()), float(confidence[one].mean())) for one in groups
    )
