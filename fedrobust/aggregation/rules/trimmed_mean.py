"""Coordinate-wise trimmed mean."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.kernels import row_means
from fedrobust.aggregation.updates import Updates
from fedrobust.aggregation.weights import SiteWeights

PART_NUMBERS = 2**17
"""Values that are sorted with their weights at a time."""

WEIGHT = 2**28 - 1
"""Largest weight that sorting keeps beside a value: rounding to float32 takes it away again."""


@RULES.register("trimmed-mean")
@dataclass(frozen=True, kw_only=True)
class TrimmedMean(ByzantineTolerant, SiteWeights):
    """Leave out the f largest and f smallest values of every coordinate (Yin et al., 2018, arXiv:1803.01498, Def. 2).

    Tolerates f < n / 2 malicious clients. With weights the share f / n of the weight is left out at each end, of the
    client at the border the part beyond it, and attackers with at most that share are tolerated.
    """

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the trimmed mean of `updates`."""
        n = len(updates)
        self.require(n)

        weights = self.weights(context, n)
        if (weights != weights[0]).any():
            return Aggregation(
                updates.by_coordinate(lambda values: trimmed_by_weight(values, weights, self.f / n))
            )

        def reduce(values: np.ndarray) -> np.ndarray:
            values.sort(axis=1)
            return row_means(values[:, self.f : n - self.f])

        return Aggregation(updates.by_coordinate(reduce))


def trimmed_by_weight(values: np.ndarray, weights: np.ndarray, cut: float) -> np.ndarray:
    """Return the mean of every row without the share `cut` of the weight at each end, float64 (b,).

    With L and U the values at the shares `cut` and 1 - `cut` of the weight, it is the weighted mean of the values
    clipped to [L, U], less `cut` times L and U, over 1 - 2 `cut`: no value that is left out enters it. Weights that are
    not whole numbers are rounded to 2^-28 of their sum to find L and U.

    Args:
        values: (b, n) float32, finite; changed in place.
        weights: (n,) of the columns, not negative, not all 0.
        cut: from 0, below 1 / 2.

    Example:
        >>> trimmed_by_weight(np.array([[9, 1, 5]], np.float32), np.array([2, 1, 1]), 0.25).tolist()
        [7.0]
    """
    whole, slack = whole_weights(weights)
    total, shares = int(whole.sum()), weights / weights.sum()
    # A client whose share ends at the border but for rounding is left out.
    first, last = int(np.floor(cut * total + slack)), int(np.ceil((1 - cut) * total - slack))
    height = min(len(values), max(1, PART_NUMBERS // len(weights)))
    buffers = np.empty((2, height, len(weights)))

    def part(values: np.ndarray) -> np.ndarray:
        # Value and weight are sorted as one number, which is faster than sorting positions: the weight is written into
        # the digits that a float64 has and a float32 does not.
        ordered, sums, rows = buffers[0, : len(values)], buffers[1, : len(values)], np.arange(len(values))
        bits, ends = ordered.view(np.int64), sums.view(np.int64)
        ordered[...] = values
        np.bitwise_or(bits, whole, out=bits)
        ordered.sort(axis=1)
        np.bitwise_and(bits, WEIGHT, out=ends)
        np.cumsum(ends, axis=1, out=ends)
        low, high = (ordered[rows, at.argmax(1)].astype(np.float32) for at in (ends > first, ends >= last))
        np.minimum(np.maximum(values, low[:, None], out=values), high[:, None], out=values)
        ordered[...] = values
        return np.asarray((ordered @ shares - cut * (low.astype(np.float64) + high)) / (1 - 2 * cut))

    return np.concatenate([part(values[at : at + height]) for at in range(0, len(values), height)])


def whole_weights(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return `weights` (n,) as whole numbers with a sum below 2^28, and by how much sums of them may be off.

    Example:
        >>> whole, off = whole_weights(np.array([7.0, 3.0]))
        >>> whole.tolist(), off
        ([7, 3], 1e-06)
    """
    total = float(weights.sum())
    if total <= WEIGHT and (weights == np.rint(weights)).all():
        return weights.astype(np.int64), 1e-6
    return np.floor(weights * (WEIGHT / total)).astype(np.int64), float(len(weights))
