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
    """Filter by length and by the shares of signs, then average what is left, clipped (Xu et al., 2021, 2109.05872).

    Algorithm 2: lengths between `low` and `high` times the median stay, and so does the largest cluster (mean shift)
    of the shares of positive, negative and zero numbers among randomly drawn coordinates. The result is no longer than
    the median length, which f < n / 2 malicious clients cannot set above all honest ones.

    Attributes:
        low: shortest accepted length as a share of the median.
        high: longest.
        coordinates: share of the coordinates that is drawn.
    """

    SELECTS: ClassVar[bool] = True

    low: Share = 0.1
    high: AtLeastOne = 3.0
    coordinates: PositiveShare = 0.1

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the clipped mean of the `updates` that pass."""
        typical = float(np.median(updates.norms))
        usual = (updates.norms >= self.low * typical) & (updates.norms <= self.high * typical)
        # Of models with millions of coordinates, a hundred thousand say as much about signs as a tenth of them.
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
    """Return who belongs to the largest cluster that mean shift finds in `features` (n, k), (n,) bool."""
    from sklearn.cluster import MeanShift, estimate_bandwidth

    bandwidth = estimate_bandwidth(features, quantile=0.5, n_samples=len(features), random_state=0)
    if bandwidth <= 0:
        return np.ones(len(features), np.bool_)
    labels = MeanShift(bandwidth=bandwidth).fit_predict(features)
    largest: np.ndarray = labels == np.argmax(np.bincount(labels))
    return largest
