"""The Brier score."""

from dataclasses import dataclass

import numpy as np

from fedrobust.evaluation.intervals import Floats, Integers
from fedrobust.evaluation.scores.contract import METRICS


@METRICS.register("brier")
@dataclass(frozen=True, kw_only=True)
class Brier:
    """Mean squared distance of probabilities to one-hot labels, 0 to 2 (Brier, 1950, Monthly Weather Review 78, eq. 2).

    Example:
        >>> even = np.zeros((4, 2))
        >>> Brier()(np.array([0, 1, 0, 1]), even)
        0.5
    """

    def __call__(self, labels: Integers, logits: Floats) -> float:
        """Return the score; lower is better."""
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        apart = odds / odds.sum(axis=1, keepdims=True)
        apart[np.arange(len(labels)), labels] -= 1
        return float(np.mean(np.sum(apart**2, axis=1)))
