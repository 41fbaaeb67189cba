"""The mean of updates clipped around the last round's."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.kernels import clip_factors
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count, NonNegative


@RULES.register("centred-clipping")
@dataclass(frozen=True, kw_only=True)
class CentredClipping:
    """Move the last aggregate by the mean of clipped differences (Karimireddy et al., 2020, arXiv:2012.10333, eq. 12).

    v <- v + mean_i (x_i - v) min(1, threshold / |x_i - v|), from the aggregate of the round before (0 in the first).
    A step moves v by at most the threshold; what it is attracted to is an attacker's to choose.

    Attributes:
        threshold: longest difference, in the units of updates; 0 takes the median distance to v at every step, so
            that no scale has to be known and f < n / 2 malicious clients cannot set it.
        steps: how often v is moved.
    """

    threshold: NonNegative = 0.0
    steps: Count = 3

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the clipped mean of `updates` around the last one."""
        centre = np.asarray(context.memory.get("centre", np.zeros(updates.size, np.float32)))
        influence = np.zeros(len(updates))
        for _ in range(self.steps):
            apart = updates.distances_to(centre)
            factors = clip_factors(apart, self.threshold or float(np.median(apart)))
            shares = factors / len(updates)
            moved = centre.astype(np.float64) * (1 - shares.sum()) + updates.combined(shares)
            centre, influence = moved.astype(np.float32), factors
        return Aggregation(centre, influence / influence.sum(), {"centre": centre})
