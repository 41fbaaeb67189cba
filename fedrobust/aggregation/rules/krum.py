"""Krum and Multi-Krum: select the updates with the nearest neighbours."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import (
    RULES,
    Aggregation,
    AggregationContext,
    ByzantineTolerant,
    InfeasibleError,
)
from fedrobust.aggregation.kernels import chosen_only, krum_scores
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Whole


class _Krum(ByzantineTolerant):
    NEEDS: ClassVar[str] = "n >= 2f + 3"
    SELECTS: ClassVar[bool] = True

    @classmethod
    def min_clients(cls, f: int) -> int:
        """Return how many clients it takes to tolerate `f` malicious ones."""
        return 2 * f + 3


@RULES.register("krum")
@dataclass(frozen=True, kw_only=True)
class Krum(_Krum):
    """Select the update closest to its n - f - 2 nearest neighbours (Blanchard et al., NeurIPS 2017, section 4).

    Tolerates f malicious clients of n >= 2f + 3.
    """

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the selected update."""
        self.require(len(updates))
        best = np.argmin(krum_scores(updates.squared[:-1, :-1], self.f))
        shares = chosen_only(len(updates), np.array([best]))
        return Aggregation(updates.combined(shares), shares)


@RULES.register("multi-krum")
@dataclass(frozen=True, kw_only=True)
class MultiKrum(_Krum):
    """Average the m updates with the best Krum scores (Blanchard et al., NeurIPS 2017, section 6).

    Tolerates f malicious clients of n >= 2f + 3.

    Attributes:
        m: number of averaged updates; 0: n - f.
    """

    m: Whole = 0

    def fits(self, n: int) -> None:
        """Refuse to average more updates than there are honest clients in a round.

        Raises:
            InfeasibleError: `m` is more than `n` - f.
        """
        if self.m > n - self.f:
            raise InfeasibleError(
                f"MultiKrum with m = {self.m} and f = {self.f} of {n} clients: the mean of m would hold one of f "
                f"malicious ones; choose {n - self.f} or fewer, or 0 for n - f"
            )

    def among(self, n: int, share: float) -> "MultiKrum":
        """Return the rule for `n` updates, the `share` of those asked for: m is at most n - f."""
        return replace(self, m=min(self.m, max(1, n - self.f)))

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the selected updates."""
        n = len(updates)
        self.require(n)
        scores = krum_scores(updates.squared[:-1, :-1], self.f)
        shares = chosen_only(n, np.argsort(scores, kind="stable")[: min(n, self.m or n - self.f)])
        return Aggregation(updates.combined(shares), shares)
