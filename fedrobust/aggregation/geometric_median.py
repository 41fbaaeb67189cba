"""The point with the smallest sum of distances to all updates."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.rule import RULES, Aggregation, Cohort
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import PositiveShare, Share

MOST_STEPS = 10_000


def weiszfeld(squared: np.ndarray, weights: np.ndarray, smoothing: Share, tolerance: float) -> np.ndarray:
    """Return the geometric median of points as weights (n,) of a weighted mean, from their distances alone.

    Every iterate is a weighted mean of the points, and with weights w that add up to 1 its squared distance to point i
    is (S w)_i - w'Sw / 2, S being the points' squared distances. A step therefore costs n², whatever the dimension.

    Args:
        squared: (n, n) squared distances.
        weights: (n,) of the points, positive.
        smoothing: distances are taken to be no smaller than this (the nu of Pillutla et al.).
        tolerance: stop when a step is shorter than this times the median distance to the iterate.

    Example:
        >>> points = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2], [1, 1]])
        >>> squared = ((points[:, None] - points[None]) ** 2).sum(-1)
        >>> np.round(weiszfeld(squared, np.ones(5), 1e-9, 1e-9) @ points, 6).tolist()
        [1.0, 1.0]
    """
    shares = weights / weights.sum()
    for _ in range(MOST_STEPS):
        spread = squared @ shares
        apart = np.sqrt(np.maximum(spread - shares @ spread / 2, 0))
        lengths = np.maximum(apart, smoothing)
        following = weights * (lengths.min() / lengths)
        following /= following.sum()
        step = following - shares
        length = np.sqrt(max(0.0, -(step @ squared @ step) / 2))
        shares = following
        if length <= tolerance * np.median(apart):
            break
    return shares


@RULES.register("geometric-median")
@dataclass(frozen=True, kw_only=True)
class GeometricMedian:
    """Take the point with the smallest sum of distances (RFA: Pillutla et al., 2019, arXiv:1912.13445, Algorithm 2).

    The smoothed Weiszfeld algorithm, run until it stands still rather than for three steps. Tolerates f < n / 2.

    Attributes:
        smoothing: distances count as no smaller than this share of the median distance between clients.
        tolerance: a last step is no longer than this share of the median distance to the result.
        weighted: count clients by the images that they claim, as the paper does; an attacker chooses its own claim.
    """

    smoothing: Share = 1e-6
    tolerance: PositiveShare = 1e-6
    weighted: bool = False

    def __call__(self, updates: Updates, cohort: Cohort) -> Aggregation:
        """Return the geometric median of `updates`."""
        n = len(updates)
        weights = cohort.examples.astype(np.float64) if self.weighted else np.ones(n)
        # Coinciding points and a scale of 0 leave something to divide by.
        apart = np.median(updates.distances[~np.eye(n, dtype=bool)]) if n > 1 else 0.0
        smoothing = max(self.smoothing * float(apart), np.finfo(np.float64).tiny)
        shares = weiszfeld(updates.squared[:-1, :-1], weights, smoothing, self.tolerance)
        return Aggregation(updates.combined(shares), shares)
