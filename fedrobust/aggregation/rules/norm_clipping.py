"""Norm clipping: the mean of updates clipped to a norm."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.kernels import clip_factors, with_noise
from fedrobust.aggregation.updates import Updates
from fedrobust.aggregation.weights import SiteWeights
from fedrobust.bounds import NonNegative


@RULES.register("norm-clipping")
@dataclass(frozen=True, kw_only=True)
class NormClipping(SiteWeights):
    """Average updates clipped to a norm, with optional noise (Sun et al., 2019, arXiv:1911.07963, section 4).

    Without noise the norm of the result is at most the threshold; each client changes it by at most its share of the
    threshold, threshold / n where clients are not weighted. The median norm counts clients, whatever they weigh.

    Attributes:
        threshold: largest norm, in the units of updates; 0: the median of the clients' norms.
        noise: standard deviation of the Gaussian noise added to every coordinate, as a share of the threshold.
    """

    threshold: NonNegative = 0.0
    noise: NonNegative = 0.0

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the clipped `updates`."""
        threshold = self.threshold or float(np.median(updates.norms))
        factors = clip_factors(updates.norms, threshold)
        weights = self.weights(context, len(updates))
        factors = factors * weights
        update = updates.combined(factors / weights.sum())
        return Aggregation(with_noise(update, self.noise * threshold, context), factors / factors.sum())
