"""The point with the smallest sum of distances to all updates."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import PositiveShare, Share

MOST_STEPS = 10_000

FAR = 100.0
"""Radii of the majority's ball from which on inner products are computed from the ball's centre."""


def majority_ball(squared: np.ndarray, weights: np.ndarray) -> tuple[int, float, np.ndarray]:
    """Return the smallest ball around a point that holds more than half of the weight: centre, radius, members.

    Those who hold less than half of the weight cannot make it wider: the others are a majority, too.

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
    """Return the geometric median of points as weights (n,) of a weighted mean, from their distances alone.

    Every iterate is a weighted mean of the points: its distances to them follow from their inner products, and a step
    costs n², whatever the dimension. The products are those of the points less the centre of the majority's ball, and
    a point outside of that ball enters as one on it, in the same direction, with as much more weight: so no number is
    much larger than the ball, however far away points are.

    With S those who hold H of the weight, the others A < H, and m any point, it stops at a point no farther from m than
    2 sum_S w_i |x_i - m| / (H - A - tolerance (H + A)): as near as the geometric median itself (Pillutla et al., 2019,
    arXiv:1912.13445), but for the tolerance. For the sum of distances is convex, and its slope is at most
    tolerance (H + A) there.

    Args:
        squared: (n, n) squared distances.
        weights: (n,) of the points, not negative.
        smoothing: distances are taken to be no smaller than this (the nu of Pillutla et al.).
        tolerance: stop where the weighted mean of the unit vectors from the points is no longer than this.
        inner_from: returns the points' inner products (n, n), less the point at a place; from `squared` if None.

    Example:
        >>> points = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2], [1, 1]])
        >>> squared = ((points[:, None] - points[None]) ** 2).sum(-1)
        >>> np.round(weiszfeld(squared, np.ones(5), 1e-9, 1e-9) @ points, 6).tolist()
        [1.0, 1.0]
    """
    centre, radius, members = majority_ball(squared, weights)
    shares = np.zeros(len(weights))
    if radius == 0:  # more than half of the weight in one point: that is the geometric median
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
class GeometricMedian:
    """Take the point with the smallest sum of distances (RFA: Pillutla et al., 2019, arXiv:1912.13445, Algorithm 2).

    The smoothed Weiszfeld algorithm, run until it stands still rather than for three steps. Tolerates f < n / 2: then
    |result - m| <= 2 (n - f) / (n - 2 f) mean_S |x_i - m| for any point m and the n - f honest clients S, wherever the
    others are. What smoothing adds is at most its share of what honest clients are apart.

    Attributes:
        smoothing: distances count as no smaller than this share of the smallest radius around a client within which
            more than half of all lie: f < n / 2 malicious clients cannot set it.
        tolerance: the mean of the unit vectors from the clients to the result, 0 at the geometric median, is no longer.
        weighted: count clients by the images that they claim, as the paper does; an attacker chooses its own claim,
            and what is tolerated is less than half of all images.
    """

    smoothing: Share = 1e-6
    tolerance: PositiveShare = 1e-6
    weighted: bool = False

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the geometric median of `updates`."""
        n = len(updates)
        # Behind a pre-aggregator that puts others in the clients' place there are no claims.
        claims = self.weighted and len(context.examples) == n
        weights = context.examples.astype(np.float64) if claims else np.ones(n)
        squared = updates.squared[:-1, :-1]
        centre, radius, _ = majority_ball(squared, weights)
        lengths = np.sqrt(updates.squared[:-1, -1])
        # Products that follow from distances are good to 16 digits of the longest: where that is not enough, they
        # are computed again from the centre.
        spread = max(float(lengths[centre]), float(squared[centre].max()) ** 0.5 / FAR)
        inner_from = updates.inner_from if spread > FAR * radius else None
        # A client that the result is on leaves something to divide by.
        smoothing = max(self.smoothing, 1e-12) * radius
        shares = weiszfeld(squared, weights, smoothing, self.tolerance, inner_from)
        return Aggregation(updates.combined(shares), shares)
