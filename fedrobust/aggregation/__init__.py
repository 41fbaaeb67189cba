"""From client updates to one: one file a rule. Importing this package registers them."""

from fedrobust.aggregation.mean import Mean, RunningMean
from fedrobust.aggregation.rule import RULES, Rule, RunningAggregate

__all__ = ["RULES", "Mean", "Rule", "RunningAggregate", "RunningMean"]
