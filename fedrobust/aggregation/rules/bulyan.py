"""Bulyan: repeated Krum, then the mean of the values nearest to the median."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.kernels import chosen_only, krum_scores, mean_around_median
from fedrobust.aggregation.updates import Updates


def recursive_krum(squared: np.ndarray, f: int, count: int) -> np.ndarray:
    """Return the positions of `count` updates, each Krum's choice among the remaining ones."""
    left = np.arange(len(squared))
    chosen = []
    for _ in range(count):
        best = int(np.argmin(krum_scores(squared[np.ix_(left, left)], f)))
        chosen.append(int(left[best]))
        left = np.delete(left, best)
    return np.sort(np.array(chosen))


@RULES.register("bulyan")
@dataclass(frozen=True, kw_only=True)
class Bulyan(ByzantineTolerant):
    """Select n - 2f updates with Krum, average the n - 4f values nearest to their median in every coordinate.

    El Mhamdi et al., 2018, arXiv:1802.07927, Algorithm in section 4. Tolerates f malicious clients of n >= 4f + 3.
    No coordinate is farther from the median of the selected updates than that of the farthest honest one among them.
    """

    NEEDS: ClassVar[str] = "n >= 4f + 3"
    SELECTS: ClassVar[bool] = True

    @classmethod
    def min_clients(cls, f: int) -> int:
        """Return the smallest number of clients with which `f` malicious ones are tolerated."""
        return 4 * f + 3

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return Bulyan of `updates`."""
        n = len(updates)
        self.require(n)
        chosen = recursive_krum(updates.squared[:-1, :-1], self.f, n - 2 * self.f)
        kept = len(chosen) - 2 * self.f
        update = updates.by_coordinate(lambda values: mean_around_median(values, kept), chosen)
        return Aggregation(update, chosen_only(n, chosen))
