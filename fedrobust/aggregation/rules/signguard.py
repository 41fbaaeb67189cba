"""SignGuard: keep updates with the usual norm and the usual shares of signs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.kernels import clip_factors, drawn_coordinates
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import AtLeastOne, PositiveShare, Share


@RULES.register("signguard")
@dataclass(frozen=True, kw_only=True)
class SignGuard:
    """Filter by norm and by shares of signs, then average the clipped updates (Xu et al., 2021, arXiv:2109.05872).

    Algorithm 2: accepted are norms between `low` and `high` times the median, within the largest cluster (mean shift)
    of the shares of positive, negative and zero values among random coordinates. The norm of the result is at most
    the median norm, which f < n / 2 malicious clients cannot raise above all honest ones.

    The official code (JianXu95/SignGuard) divides each of the three shares by its largest over clients before it
    clusters, takes one window of adjacent coordinates, and leaves clients that are near no centre in no cluster. Here
    shares are compared as they are, so that a rare sign counts less, coordinates are drawn singly, and every client is
    in the nearest cluster. If nobody is in both sets, the filter by norm decides alone, where that code divides by 0.

    Attributes:
        low: smallest accepted norm as a share of the median.
        high: largest accepted norm as a share of the median.
        coordinates: share of the coordinates that is drawn.
    """

    SELECTS: ClassVar[bool] = True

    low: Share = 0.1
    high: AtLeastOne = 3.0
    coordinates: PositiveShare = 0.1

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the clipped mean of the accepted `updates`."""
        typical = float(np.median(updates.norms))
        usual = (updates.norms >= self.low * typical) & (updates.norms <= self.high * typical)
        # For models with millions of coordinates a sample of a hundred thousand is sufficient.
        drawn = drawn_coordinates(
            updates, min(100_000, max(1, int(self.coordinates * updates.size))), context
        )
        accepted = usual & largest_cluster(sign_shares(drawn))
        if not accepted.any():
            accepted = usual if usual.any() else np.ones(len(updates), np.bool_)
        factors = clip_factors(updates.norms, typical) * accepted
        return Aggregation(updates.combined(factors / accepted.sum()), factors / max(factors.sum(), 1e-300))


def sign_shares(values: np.ndarray) -> np.ndarray:
    """Return the shares of positive, negative and zero numbers in every row of `values`, (n, 3)."""
    return np.stack([(values > 0).mean(1), (values < 0).mean(1), (values == 0).mean(1)], axis=1)


def largest_cluster(features: np.ndarray) -> np.ndarray:
    """Return the members of the largest mean shift cluster in `features` (n, k), (n,) bool."""
    from sklearn.cluster import MeanShift, estimate_bandwidth

    bandwidth = estimate_bandwidth(features, quantile=0.5, n_samples=len(features), random_state=0)
    if bandwidth <= 0:
        return np.ones(len(features), np.bool_)
    labels = MeanShift(bandwidth=bandwidth).fit_predict(features)
    largest: np.ndarray = labels == np.argmax(np.bincount(labels))
    return largest
