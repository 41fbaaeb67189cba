"""Bucketing: replace updates by means of random groups."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import PRE_AGGREGATORS, AggregationContext, InfeasibleError
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count


@PRE_AGGREGATORS.register("bucketing")
@dataclass(frozen=True, kw_only=True)
class Bucketing:
    """Average random groups of clients (Karimireddy et al., 2020, arXiv:2006.09365, Algorithm 1).

    The rule after it gets n / size updates of smaller variance, of which up to f are malicious.

    Attributes:
        size: clients in a group (the paper's s). In a round with fewer updates than it asked for it is lowered by the
            same share, so that there are as many groups; with 1 updates stay as they are.
    """

    MIXES: ClassVar[bool] = True

    size: Count = 2

    def fits(self, n: int) -> None:
        """Refuse a group of all `n` clients of a round.

        Raises:
            InfeasibleError: the rule would get a single update.
        """
        if n > 1 and self.size >= n:
            raise InfeasibleError(
                f"Bucketing with size = {self.size} of {n} clients leaves one update: choose a size below {n}"
            )

    def among(self, n: int, share: float) -> "Bucketing":
        """Return the stage for `n` updates, the `share` of those asked for."""
        return replace(self, size=max(1, min(int(self.size * share + 1e-9), n - 1)))

    def __call__(self, updates: Updates, context: AggregationContext) -> Updates:
        """Return one update for each group."""
        if self.size == 1:
            return updates
        n = len(updates)
        order = context.generator.permutation(n)
        groups = -(-n // self.size)
        mixture = np.zeros((groups, n))
        for group in range(groups):
            members = order[group * self.size : (group + 1) * self.size]
            mixture[group, members] = 1 / len(members)
        return updates.mixed(mixture)
