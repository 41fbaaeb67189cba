"""Coordinate-wise trimmed mean."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.kernels import row_means
from fedrobust.aggregation.updates import Updates


@RULES.register("trimmed-mean")
@dataclass(frozen=True, kw_only=True)
class TrimmedMean(ByzantineTolerant):
    """Leave out the f largest and f smallest values of every coordinate (Yin et al., 2018, arXiv:1803.01498, Def. 2).

    Tolerates f < n / 2 malicious clients.
    """

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the trimmed mean of `updates`."""
        n = len(updates)
        self.require(n)

        def reduce(values: np.ndarray) -> np.ndarray:
            values.sort(axis=1)
            return row_means(values[:, self.f : n - self.f])

        return Aggregation(updates.by_coordinate(reduce))
