"""Centred clipping: the mean of updates clipped around the previous aggregate."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.kernels import clip_factors
from fedrobust.aggregation.updates import Updates
from fedrobust.aggregation.weights import SiteWeights
from fedrobust.bounds import Count, NonNegative


@RULES.register("centred-clipping")
@dataclass(frozen=True, kw_only=True)
class CentredClipping(SiteWeights):
    """Add the mean of clipped differences to the last aggregate (Karimireddy et al., 2020, arXiv:2012.10333, eq. 12).

    v <- v + mean_i (x_i - v) min(1, threshold / |x_i - v|), starting from the previous aggregate (0 in the first
    round). A step changes v by at most the threshold, in a direction that attackers can influence. With weights the
    mean is weighted; the median distance counts clients, whatever they weigh.

    Attributes:
        threshold: largest norm of a difference, in the units of updates; 0: the median distance to v in every step,
            which needs no known scale and which f < n / 2 malicious clients cannot set.
        steps: number of steps.
    """

    threshold: NonNegative = 0.0
    steps: Count = 3

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the clipped mean of `updates` around the last one."""
        centre = np.asarray(context.memory.get("centre", np.zeros(updates.size, np.float32)))
        influence, weights = np.zeros(len(updates)), self.weights(context, len(updates))
        for _ in range(self.steps):
            apart = updates.distances_to(centre)
            factors = clip_factors(apart, self.threshold or float(np.median(apart))) * weights
            shares = factors / weights.sum()
            moved = centre.astype(np.float64) * (1 - shares.sum()) + updates.combined(shares)
            centre, influence = moved.astype(np.float32), factors
        return Aggregation(centre, influence / influence.sum(), {"centre": centre})
