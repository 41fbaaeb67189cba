"""From client updates to one: one file a rule. Importing this package registers them."""

from fedrobust.aggregation.mean import Mean, RunningMean
from fedrobust.aggregation.median import CoordinateMedian, coordinate_median
from fedrobust.aggregation.rule import (
    RULES,
    Aggregation,
    MatrixRule,
    Rule,
    RunningAggregate,
    StreamingRule,
)

__all__ = [
    "RULES",
    "Aggregation",
    "CoordinateMedian",
    "MatrixRule",
    "Mean",
    "Rule",
    "RunningAggregate",
    "RunningMean",
    "StreamingRule",
    "coordinate_median",
]
