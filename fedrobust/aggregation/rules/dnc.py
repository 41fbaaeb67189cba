"""Divide and conquer: reject outliers along the direction of largest variance."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.distances import inner_products
from fedrobust.aggregation.kernels import chosen_only, drawn_coordinates
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count, Positive


@RULES.register("dnc")
@dataclass(frozen=True, kw_only=True)
class DivideAndConquer(ByzantineTolerant):
    """Drop outliers along the top singular vector (Shejwalkar and Houmansadr, NDSS 2021, Algorithm 2).

    In every step random coordinates are drawn, the updates are centred, and the `share` * f clients with the largest
    squared projections are dropped; clients that no step drops are averaged. Up to f attackers of one distribution, as
    in the paper's analysis, are dropped. Attackers that differ can hide each other: beside one at 1e30, one at 1e20 is
    not an outlier. ``clipping`` or ``arc`` before it bound the norm of the result by that of an honest update.

    Attributes:
        coordinates: number of random coordinates (the paper's b).
        steps: number of steps (its niters).
        share: share of f that is dropped in a step (its c).
    """

    SELECTS: ClassVar[bool] = True

    coordinates: Count = 10_000
    steps: Count = 1
    share: Positive = 1.0

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the accepted `updates`."""
        n = len(updates)
        self.require(n)
        kept = np.ones(n, np.bool_)
        dropped = min(n - 1, int(self.share * self.f))
        for _ in range(self.steps):
            drawn = drawn_coordinates(updates, self.coordinates, context)
            centred = drawn - drawn.mean(0)
            # The top right singular vector's projections are the top left one's entries times the singular value.
            _, vectors = np.linalg.eigh(inner_products(centred))
            scores = vectors[:, -1] ** 2
            kept[np.argsort(-scores, kind="stable")[:dropped]] = False
        if not kept.any():
            kept[:] = True
        shares = chosen_only(n, np.flatnonzero(kept))
        return Aggregation(updates.combined(shares), shares)
