"""Bucketing: replace updates by means of random groups."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import PRE_AGGREGATORS, AggregationContext, InfeasibleError
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count


@PRE_AGGREGATORS.register("bucketing")
@dataclass(frozen=True, kw_only=True)
class Bucketing:
    """Average random groups of clients (Karimireddy et al., 2020, arXiv:2006.09365, Algorithm 1).

    The rule behind it sees n / size updates that are more alike; as many are bad as there are malicious clients.

    Attributes:
        size: clients of a group (the paper's s).
    """

    MIXES: ClassVar[bool] = True

    size: Count = 2

    def fits(self, n: int) -> None:
        """Refuse a group of all `n` clients of a round.

        Raises:
            InfeasibleError: the rule behind would see one update, and could choose nothing.
        """
        if n > 1 and self.size >= n:
            raise InfeasibleError(
                f"Bucketing with size = {self.size} of {n} clients leaves one update: choose a size below {n}"
            )

    def __call__(self, updates: Updates, context: AggregationContext) -> Updates:
        """Return one update a group."""
        n = len(updates)
        order = context.generator.permutation(n)
        groups = -(-n // self.size)
        mixture = np.zeros((groups, n))
        for group in range(groups):
            members = order[group * self.size : (group + 1) * self.size]
            mixture[group, members] = 1 / len(members)
        return updates.mixed(mixture)
