"""The geometric median: the point with the smallest sum of distances to all updates."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.updates import Updates
from fedrobust.aggregation.weights import SiteWeights
from fedrobust.bounds import PositiveShare, Share

MOST_STEPS = 10_000

FAR = 100.0
"""Distance, in radii of the majority's ball, from which inner products are computed relative to its centre."""


def majority_ball(squared: np.ndarray, weights: np.ndarray) -> tuple[int, float, np.ndarray]:
    """Return the smallest ball around a point with more than half of the weight: centre, radius, members.

    Points with less than half of the weight cannot enlarge it, because the others are a majority.

    Args:
        squared: (n, n) squared distances.
        weights: (n,) of the points.

    Example:
        >>> points = np.array([0.0, 1, 3, 1e9, -1e9])
        >>> centre, radius, members = majority_ball((points[:, None] - points[None]) ** 2, np.ones(5))
        >>> centre, radius, sorted(members.tolist())
        (1, 2.0, [0, 1, 2])
    """
    order = np.argsort(squared, axis=1, kind="stable")
    last = np.argmax(np.cumsum(weights[order], axis=1) > weights.sum() / 2, axis=1)
    places = np.arange(len(squared))
    reach = squared[places, order[places, last]]
    centre = int(np.argmin(reach))
    return centre, float(np.sqrt(reach[centre])), order[centre, : last[centre] + 1]


def weiszfeld(
    squared: np.ndarray,
    weights: np.ndarray,
    smoothing: float,
    tolerance: float,
    inner_from: Callable[[int], np.ndarray] | None = None,
) -> np.ndarray:
    """Return the geometric median of points as weights (n,) of a weighted mean, from their distances only.

    Every iterate is a weighted mean of the points: its distances follow from the points' inner products, and a step
    costs n² for any dimension. Inner products are relative to the centre of the majority's ball, and a point outside of
    that ball is replaced by one on it, in the same direction, with a correspondingly larger weight, so that no value is
    much larger than the ball.

    Let S hold the weight H, the other points A < H, and m be any point. The distance of the result to m is at most
    2 sum_S w_i |x_i - m| / (H - A - tolerance (H + A)), which up to the tolerance is the bound of the geometric median
    (Pillutla et al., 2019, arXiv:1912.13445), because the sum of distances is convex and its slope at the result is at
    most tolerance (H + A).

    Args:
        squared: (n, n) squared distances.
        weights: (n,) of the points, not negative.
        smoothing: lower bound of distances (the nu of Pillutla et al.).
        tolerance: stop when the norm of the weighted mean of the unit vectors from the points is at most this.
        inner_from: returns the points' inner products (n, n) relative to the point at a position; None: from `squared`.

    Example:
        >>> points = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2], [1, 1]])
        >>> squared = ((points[:, None] - points[None]) ** 2).sum(-1)
        >>> np.round(weiszfeld(squared, np.ones(5), 1e-9, 1e-9) @ points, 6).tolist()
        [1.0, 1.0]
    """
    centre, radius, members = majority_ball(squared, weights)
    shares = np.zeros(len(weights))
    if radius == 0:  # a point with more than half of the weight is the geometric median
        members = np.flatnonzero(squared[centre] == 0)
        shares[members] = weights[members]
        return shares / shares.sum()
    away = squared[centre]
    shrink = np.divide(radius, np.sqrt(away), out=np.ones_like(away), where=away > radius**2)
    inner = (away[:, None] + away[None, :] - squared) / 2 if inner_from is None else inner_from(centre)
    inner = inner * shrink[:, None] * shrink[None, :]
    shares[members] = weights[members] / weights[members].sum()
    for _ in range(MOST_STEPS):
        own = shares / shrink
        along = inner @ own
        lengths = np.sqrt(np.maximum(own @ along - 2 * along / shrink + away, 0))
        lengths = np.maximum(lengths, smoothing)
        nearest = lengths.min()
        pull = weights * (nearest / lengths)
        total = pull.sum()
        step = (pull / total - shares) / shrink
        slope = np.sqrt(max(0.0, step @ inner @ step)) * total / nearest
        shares = pull / total
        if slope <= tolerance * weights.sum():
            break
    return shares


@RULES.register("geometric-median")
@dataclass(frozen=True, kw_only=True)
class GeometricMedian(SiteWeights):
    """Take the point with the smallest sum of distances (RFA: Pillutla et al., 2019, arXiv:1912.13445, Algorithm 2).

    The smoothed Weiszfeld algorithm, run to convergence instead of three steps. Tolerates f < n / 2:
    |result - m| <= 2 (n - f) / (n - 2 f) mean_S |x_i - m| for any point m and the n - f honest clients S. The error by
    smoothing is at most its share of the distance between honest clients. The paper weights clients by their images.

    Attributes:
        smoothing: lower bound of distances, as a share of the smallest radius around a client that contains more than
            half of all clients, which f < n / 2 malicious clients cannot set.
        tolerance: largest norm of the mean of the unit vectors from the clients to the result; it is 0 at the
            geometric median.
    """

    smoothing: Share = 1e-6
    tolerance: PositiveShare = 1e-6

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the geometric median of `updates`."""
        n = len(updates)
        weights = self.weights(context, n)
        squared = updates.squared[:-1, :-1]
        centre, radius, _ = majority_ball(squared, weights)
        lengths = np.sqrt(updates.squared[:-1, -1])
        # Products computed from distances have the absolute precision of the longest vector: where that is not
        # enough, they are computed again relative to the centre.
        spread = max(float(lengths[centre]), float(squared[centre].max()) ** 0.5 / FAR)
        inner_from = updates.inner_from if spread > FAR * radius else None
        # Avoids a division by zero where the result coincides with a client.
        smoothing = max(self.smoothing, 1e-12) * radius
        shares = weiszfeld(squared, weights, smoothing, self.tolerance, inner_from)
        return Aggregation(updates.combined(shares), shares)
