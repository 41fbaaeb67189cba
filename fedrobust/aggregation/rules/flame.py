"""FLAME: clustering by direction, clipping to the median norm, noise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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
        n = len(updates)
        accepted = majority_cluster(1 - updates.cosines) if n > 2 else np.ones(n, np.bool_)
        typical = float(np.median(updates.norms))
        factors = clip_factors(updates.norms, typical) * accepted
        update = updates.combined(factors / accepted.sum())
        return Aggregation(with_noise(update, self.noise * typical, context), factors / factors.sum())


def majority_cluster(distances: np.ndarray) -> np.ndarray:
    """Return the members of the cluster of more than half of the points, (n,) bool; all points if there is none."""
    from sklearn.cluster import HDBSCAN

    n = len(distances)
    distances = np.maximum((distances + distances.T) / 2, 0)
    np.fill_diagonal(distances, 0)
    labels = HDBSCAN(
        min_cluster_size=n // 2 + 1, min_samples=1, metric="precomputed", allow_single_cluster=True, copy=True
    ).fit_predict(distances)
    found = labels[labels >= 0]
    if not len(found):
        return np.ones(n, np.bool_)
    accepted: np.ndarray = labels == np.argmax(np.bincount(found))
    return accepted
