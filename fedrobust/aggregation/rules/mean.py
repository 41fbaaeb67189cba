"""Federated averaging."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.updates import Updates
from fedrobust.aggregation.weights import capped, require_share, site_sizes
from fedrobust.bounds import Count, Positive, PositiveShare

BLOCK = 16384
"""Values summed at a time, whose temporary arrays fit into the processor's cache."""


class RunningMean:
    """The weighted mean of vectors that arrive one at a time, independent of their order.

    The last bits of a plain float64 sum depend on the order of its terms, and the order of replies is random. Here each
    sum is a pair: the float64 sum, and the sum of its exactly known rounding errors (TwoSum: Knuth, The Art of Computer
    Programming, volume 2, section 4.2.2, theorem B). The pair has 106 bits, so that the sum of float32 values times
    whole weights is exact, and therefore independent of the order, unless one client's value is 10^15 times
    another's.

    Args:
        size: length of the vectors.

    Example:
        >>> mean = RunningMean(2)
        >>> mean.add(np.array([1, 2], np.float32), weight=1)
        >>> mean.add(np.array([3, 6], np.float32), weight=3)
        >>> mean.result().tolist()
        [2.5, 5.0]
    """

    def __init__(self, size: int):
        self._sum = np.zeros(size, np.float64)
        self._lost = np.zeros(size, np.float64)
        self._weight = 0

    def add(self, vector: np.ndarray, weight: int) -> None:
        """Add `vector` (size,) float32 with a positive whole `weight`."""
        scratch = np.empty((3, min(BLOCK, len(vector))), np.float64)
        for start in range(0, len(vector), BLOCK):
            block = slice(start, start + BLOCK)
            before, lost = self._sum[block], self._lost[block]
            term, after, rest = scratch[:, : len(before)]
            np.multiply(vector[block], float(weight), out=term, dtype=np.float64)
            np.add(before, term, out=after)
            np.subtract(after, before, out=rest)
            term -= rest
            np.subtract(after, rest, out=rest)
            np.subtract(before, rest, out=rest)
            lost += rest
            lost += term
            before[:] = after
        self._weight += weight

    def result(self) -> np.ndarray:
        """Return the mean (size,) float32.

        Raises:
            ZeroDivisionError: nothing was added.
        """
        if not self._weight:
            raise ZeroDivisionError("the mean of no vectors")
        return ((self._sum + self._lost) / self._weight).astype(np.float32)


@RULES.register("mean")
@dataclass(frozen=True, kw_only=True)
class Mean:
    """Average clients by the number of their images (McMahan et al., 2016, arXiv:1602.05629, Algorithm 1).

    The average of weights equals the global model plus the average of updates; computed on the weights it has no
    rounding error: the mean of one client is that client's weights. It tolerates no malicious client: a single update
    can give any result.

    Attributes:
        weighting: ``examples``: by the claimed, unverified number of images; ``capped``: by that number, at most `cap`
            times the median that all clients of the study registered; ``uniform``: equal weights.
        cap: for ``capped``.
        sizes: numbers of images of clients 0, 1 and so on that the server knows, in place of claims.
        max_share: largest share of the weight that one client can have, from 1 / n. With it, or with `sizes`, all
            updates of a round are kept in memory, because shares are known only when all have arrived.

    Example:
        >>> updates = Updates.of(np.array([[0], [0], [9]], np.float32))
        >>> context = AggregationContext(np.arange(3), np.array([10, 10, 1000]))
        >>> Mean(max_share=0.5)(updates, context).update.tolist()
        [4.5]
    """

    weighting: Literal["examples", "capped", "uniform"] = "examples"
    cap: Positive = 2.0
    sizes: tuple[Count, ...] = ()
    max_share: PositiveShare = 1.0

    @property
    def streams(self) -> bool:
        """Whether a client's weight is known when its update arrives."""
        return not self.sizes and self.max_share >= 1

    def fits(self, n: int) -> None:
        """Refuse a cap that `n` clients cannot keep to.

        Raises:
            InfeasibleError: it is less than 1 / `n`.
        """
        require_share(self, self.max_share, n)

    def start(self, size: int) -> RunningMean:
        """Return an empty mean of vectors of `size` numbers."""
        return RunningMean(size)

    def weight(self, examples: int, typical: float) -> int:
        """Return the weight of a client that claims `examples` images, where the median claim is `typical`."""
        if self.weighting == "uniform":
            return 1
        if self.weighting == "capped":
            return max(1, min(examples, int(self.cap * typical)))
        return examples

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the weighted mean of `updates`."""
        weights = self.weights(context, len(updates))
        shares = weights / weights.sum()
        return Aggregation(updates.combined(shares), shares)

    def weights(self, context: AggregationContext, n: int) -> np.ndarray:
        """Return the weights (n,) of the clients of a round, not divided by their sum; see `SiteWeights.weights`."""
        sizes = site_sizes(context, n, self.sizes)
        known = context.typical is not None and not self.sizes
        typical = float(context.typical) if known and context.typical else float(np.median(sizes))
        return capped(
            np.array([self.weight(int(size), typical) for size in sizes], np.float64), self.max_share
        )
