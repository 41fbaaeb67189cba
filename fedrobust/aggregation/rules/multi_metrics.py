"""Multi-Metrics: keep updates whose lengths and direction are nearest to everybody's."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.blocks import each_block
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, known
from fedrobust.aggregation.kernels import chosen_only
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import PositiveShare
from fedrobust.shares import sample_size
from fedrobust.vectors import length

EQUAL = 1e-12
"""Spread of a metric, relative to its size, up to which clients count as equal: that of rounding."""


@RULES.register("multi-metrics")
@dataclass(frozen=True, kw_only=True)
class MultiMetrics:
    """Average the clients that are nearest to all others in three metrics (Huang et al., ICCV 2023, arXiv:2303.06601).

    The metrics of a client are the Manhattan and the Euclidean norm of its update and the cosine of its model and the
    global one. Their distances to those of all other clients are summed, and whitened by their covariance over the
    clients, so that no metric dominates (equations 1 to 4). The clients with the smallest lengths are averaged.

    The number of averaged clients is fixed, so that most honest ones are rejected, attacked or not. The rule gives no
    bound. ``clipping`` or ``arc`` before it bound the norm of the result by that of honest updates.

    The official code sums distances between models (Manhattan, squared cosine distance, difference of Euclidean norms)
    in place of distances between metrics, and inverts a covariance that is singular where clients are equal in a
    metric. Here such a metric does not count.

    Attributes:
        share: share of the round's clients that is averaged, rounded, at least one (0.3 in the official code).

    Raises:
        InfeasibleError: the global weights are not known.

    Example:
        >>> updates = Updates.of(np.array([[1, 0], [2, 0], [3, 0], [4, 0], [90, 0]], np.float32))
        >>> context = AggregationContext(np.arange(5), np.ones(5, int), current=np.array([5, 0], np.float32))
        >>> MultiMetrics()(updates, context).influence.tolist()
        [0.0, 0.5, 0.5, 0.0, 0.0]
    """

    SELECTS: ClassVar[bool] = True

    share: PositiveShare = 0.3

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the selected `updates`."""
        current = known(context.current, self, "the global weights that clients were sent (current)")
        n = len(updates)
        found = metrics(updates, current)
        equal = np.ptp(found, axis=0) <= EQUAL * np.abs(found).max(0)
        scores = whitened_lengths(summed_distances(found[:, ~equal]))
        chosen = np.argsort(scores, kind="stable")[: sample_size(self.share, n)]
        shares = chosen_only(n, chosen)
        return Aggregation(updates.combined(shares), shares)


def metrics(updates: Updates, current: np.ndarray) -> np.ndarray:
    """Return the Manhattan and Euclidean norms of `updates` and the cosine of each model and the global one, (n, 3)."""

    def absolute(block: slice) -> np.ndarray:
        return np.abs(updates.values(block)).sum(1, dtype=np.float64)

    manhattan = np.sum(each_block(updates.size, len(updates.matrix), absolute), axis=0)
    own = length(current)
    along = updates.inner_with(current)
    lengths = np.sqrt(np.maximum(own**2 + 2 * along + updates.norms**2, 0))
    scale = own * lengths
    cosines = np.divide(own**2 + along, scale, out=np.zeros_like(scale), where=scale > 0)
    return np.stack([manhattan, updates.norms, np.clip(cosines, -1, 1)], axis=1)


def summed_distances(values: np.ndarray) -> np.ndarray:
    """Return the sums of the distances of each of `values` (n, k) to all others, (n, k).

    Example:
        >>> summed_distances(np.array([[0.0], [1], [5]])).tolist()
        [[6.0], [5.0], [9.0]]
    """
    return np.abs(values[:, None] - values[None]).sum(1)


def whitened_lengths(features: np.ndarray) -> np.ndarray:
    """Return sqrt(x' C^-1 x) of each row x of `features` (n, k), where C is their covariance, (n,).

    Features in which all rows are equal do not count, nor do directions in which they do not vary.

    Example:
        >>> whitened_lengths(np.array([[1.0, 5], [3, 5]])).round(3).tolist()
        [0.707, 2.121]
    """
    spread = features.std(0)
    varying = spread > 0
    if len(features) < 2 or not varying.any():
        return np.zeros(len(features))
    scaled = features[:, varying] / spread[varying]
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(scaled.T)), rcond=1e-9, hermitian=True)
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", scaled, inverse, scaled), 0))
