"""Nearest-neighbour mixing: replace every update by the mean of its nearest neighbours."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import PRE_AGGREGATORS, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.updates import Updates


@PRE_AGGREGATORS.register("nnm")
@dataclass(frozen=True, kw_only=True)
class NearestNeighbourMixing(ByzantineTolerant):
    """Replace each update by the mean of the n - f nearest, itself among them (Allouah et al., 2023, arXiv:2302.01772).

    Algorithm 2. Reduces the variance of honest updates before a rule. Tolerates f < n / 2.
    """

    SELECTS: ClassVar[bool] = True

    MIXES: ClassVar[bool] = True

    def __call__(self, updates: Updates, context: AggregationContext) -> Updates:
        """Return the mixed updates."""
        n = len(updates)
        self.require(n)
        kept = n - self.f
        nearest = np.argsort(updates.squared[:-1, :-1], axis=1, kind="stable")[:, :kept]
        mixture = np.zeros((n, n))
        np.put_along_axis(mixture, nearest, 1 / kept, axis=1)
        return updates.mixed(mixture)
