"""Norm clipping of updates before a rule."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import PRE_AGGREGATORS, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.kernels import clip_factors
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import NonNegative


@PRE_AGGREGATORS.register("clipping")
@dataclass(frozen=True, kw_only=True)
class Clipping:
    """Clip updates to a norm (Sun et al., 2019, arXiv:1911.07963).

    Attributes:
        threshold: largest norm, in the units of updates; 0: the median of the clients' norms.
    """

    threshold: NonNegative = 0.0

    def __call__(self, updates: Updates, context: AggregationContext) -> Updates:
        """Return the clipped updates."""
        threshold = self.threshold or float(np.median(updates.norms))
        return updates.mixed(np.diag(clip_factors(updates.norms, threshold)))


@PRE_AGGREGATORS.register("arc")
@dataclass(frozen=True, kw_only=True)
class AdaptiveRobustClipping(ByzantineTolerant):
    """Clip the 2 f (n - f) / n longest updates to the norm of the next (Allouah et al., 2024, arXiv:2405.14432).

    Algorithm 2. Tolerates f < n / 2.
    """

    def __call__(self, updates: Updates, context: AggregationContext) -> Updates:
        """Return the clipped updates."""
        n = len(updates)
        self.require(n)
        longest = int(2 * self.f * (n - self.f) / n)
        threshold = float(np.sort(updates.norms)[n - longest - 1])
        return updates.mixed(np.diag(clip_factors(updates.norms, threshold)))
