"""FLAME: clustering by direction, clipping to the median norm, noise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.clustering import majority_cluster
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.kernels import clip_factors, with_noise
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import NonNegative


@RULES.register("flame")
@dataclass(frozen=True, kw_only=True)
class Flame:
    """Keep the majority cluster of directions, clip to the median length, add noise (Nguyen et al., arXiv:2101.02281).

    Algorithm 1, with HDBSCAN on cosine distances, clusters of more than half of the clients. Directions are those of
    updates. Tolerates f < n / 2 malicious clients: the result, without noise, is no longer than the median length.

    Attributes:
        noise: standard deviation of the noise as a share of the median length, the paper's lambda (0.001 for
            images).
    """

    SELECTS: ClassVar[bool] = True

    noise: NonNegative = 0.001

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the clipped majority of `updates`."""
        accepted = majority_cluster(1 - updates.cosines)
        typical = float(np.median(updates.norms))
        factors = clip_factors(updates.norms, typical) * accepted
        update = updates.combined(factors / accepted.sum())
        return Aggregation(with_noise(update, self.noise * typical, context), factors / factors.sum())
