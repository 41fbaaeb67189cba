"""Weights of clients by the sizes of their sites, and a cap on the share of one."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import AggregationContext, InfeasibleError
from fedrobust.bounds import Count, PositiveShare


@dataclass(frozen=True, kw_only=True)
class SiteWeights:
    """The settings of rules that can weight clients by the sizes of their sites.

    What clients claim is not verified. Attackers who claim more have more weight, and a rule then tolerates attackers
    with less than half of the weight, not of the clients. With ``federation.claims = "checked"`` they cannot claim more
    than they did before the first round.

    Attributes:
        weighted: weight clients by the numbers of images that they claim; behind a pre-aggregator with another number
            of updates there are no claims, and all weigh the same.
        sizes: numbers of images of clients 0, 1 and so on that the server knows, to weight by in place of claims.
        max_share: largest share of the weight that one client can have, from 1 / n; the others' shares grow by what is
            cut off.
    """

    weighted: bool = False
    sizes: tuple[Count, ...] = ()
    max_share: PositiveShare = 1.0

    def fits(self, n: int) -> None:
        """Refuse a cap that `n` clients cannot keep to.

        Raises:
            InfeasibleError: it is less than 1 / `n`.
        """
        require_share(self, self.max_share, n)

    def weights(self, context: AggregationContext, n: int) -> np.ndarray:
        """Return the weights (n,) of the clients of a round, not divided by their sum.

        Raises:
            InfeasibleError: the size of a client is not given.
        """
        if not self.weighted and not self.sizes:
            return np.ones(n)
        return capped(site_sizes(context, n, self.sizes).astype(np.float64), self.max_share)


def site_sizes(context: AggregationContext, n: int, sizes: tuple[int, ...] = ()) -> np.ndarray:
    """Return the numbers of images (n,) of a round's clients: given `sizes`, or else claims; 1 where none is known.

    Raises:
        InfeasibleError: there are fewer `sizes` than clients.

    Example:
        >>> context = AggregationContext(np.array([0, 2]), np.array([10, 999]))
        >>> site_sizes(context, 2).tolist(), site_sizes(context, 2, (10, 20, 30)).tolist()
        ([10, 999], [10, 30])
    """
    if len(context.client_ids) != n:
        return np.ones(n, np.int64)
    if not sizes:
        return context.examples if len(context.examples) == n else np.ones(n, np.int64)
    if context.client_ids.max() >= len(sizes):
        raise InfeasibleError(
            f"sizes of {len(sizes)} clients, and client {context.client_ids.max()} takes part: give one size for each"
        )
    return np.array(sizes, np.int64)[context.client_ids]


def capped(weights: np.ndarray, max_share: float) -> np.ndarray:
    """Return `weights` (n,) with the largest ones lowered to one limit, so that no share is above `max_share`.

    Below 1 / n all weights are equal.

    Example:
        >>> shares = capped(np.array([1.0, 1, 1, 97]), 0.4)
        >>> (shares / shares.sum()).round(3).tolist()
        [0.2, 0.2, 0.2, 0.4]
    """
    n = len(weights)
    if max_share >= 1 or not weights.any():
        return weights
    if max_share * n <= 1:
        return np.full(n, weights.min())
    falling = np.sort(weights)[::-1]
    left = np.cumsum(falling[::-1])[::-1]  # left[k]: all but the k largest
    # The k lowered ones have the limit t each, and t = max_share (k t + left[k]).
    limits = (max_share * left[k] / (1 - k * max_share) for k in range(n))
    return np.minimum(
        weights, next(limit for limit, largest in zip(limits, falling, strict=True) if largest <= limit)
    )


def require_share(rule: object, max_share: float, n: int) -> None:
    """Refuse a cap that `n` clients cannot keep to.

    Raises:
        InfeasibleError: it is less than 1 / `n`.
    """
    if max_share * n < 1 - 1e-9:
        raise InfeasibleError(
            f"{type(rule).__name__} with max_share = {max_share:g} of {n} clients: one of them has at least 1 / {n}; "
            f"choose {np.ceil(1000 / n) / 1000:g} or more"
        )
