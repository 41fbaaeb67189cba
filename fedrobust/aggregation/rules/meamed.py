"""MeaMed: the mean of the values nearest to the median, coordinate by coordinate."""

from dataclasses import dataclass

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.kernels import mean_around_median
from fedrobust.aggregation.updates import Updates


@RULES.register("meamed")
@dataclass(frozen=True, kw_only=True)
class MeaMed(ByzantineTolerant):
    """Average the n - f values nearest to the median of every coordinate (Xie et al., 2018, arXiv:1802.10116, Def. 9).

    Tolerates f < n / 2 malicious clients: no coordinate is farther from the median than an honest client's is.
    """

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean around the median of `updates`."""
        n = len(updates)
        self.require(n)
        return Aggregation(updates.by_coordinate(lambda values: mean_around_median(values, n - self.f)))
