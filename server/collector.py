"""From the replies of a round to the next global weights, in memory that does not grow with what can be summed."""

from typing import Protocol

import numpy as np

from fedrobust.aggregation.median import coordinate_median
from fedrobust.aggregation.rule import MatrixRule, Rule, StreamingRule
from fedrobust.models.layout import Layout, Weights


class Collector(Protocol):
    """Takes the clients' weights of one round as they arrive."""

    def add(self, partition: int, weights: Weights, examples: int) -> None:
        """Take in one client's weights and the number of images it claims."""
        ...

    def result(self) -> Weights:
        """Return the next global weights."""
        ...


def collector_for(rule: Rule, layout: Layout, current: Weights, sampled: list[int]) -> Collector:
    """Return what a round with `rule` needs.

    Args:
        rule: the study's aggregation rule.
        layout: of the global model.
        current: the global weights that the clients were sent.
        sampled: their partitions.
    """
    if isinstance(rule, StreamingRule):
        return Sums(rule, layout)
    return Matrix(rule, current, sampled)


class Sums:
    """Trainable weights and statistics by a rule that needs no client twice."""

    def __init__(self, rule: StreamingRule, layout: Layout):
        self._trainable = rule.start(layout.parameters)
        self._statistics = rule.start(layout.statistics)

    def add(self, partition: int, weights: Weights, examples: int) -> None:
        """Take in one client."""
        self._trainable.add(weights.trainable, examples)
        self._statistics.add(weights.statistics, examples)

    def result(self) -> Weights:
        """Return the next global weights."""
        return Weights(self._trainable.result(), self._statistics.result())


class Matrix:
    """One float32 row a client for rules that compare clients, allocated once and filled as replies arrive.

    Distances between clients use trainable weights alone. Statistics follow the rule's choice of clients; among those
    the median of each is taken, for a rule that tolerates an attacker is of no use with statistics that do not.
    """

    def __init__(self, rule: MatrixRule, current: Weights, sampled: list[int]):
        self._rule = rule
        self._current = current
        self._rows = {partition: row for row, partition in enumerate(sorted(sampled))}
        self._updates = np.empty((len(sampled), current.trainable.size), np.float32)
        self._statistics = np.empty((len(sampled), current.statistics.size), np.float32)
        self._examples = np.zeros(len(sampled), np.int64)

    def add(self, partition: int, weights: Weights, examples: int) -> None:
        """Take in one client."""
        row = self._rows[partition]
        np.subtract(weights.trainable, self._current.trainable, out=self._updates[row])
        self._statistics[row] = weights.statistics
        self._examples[row] = examples

    def result(self) -> Weights:
        """Return the next global weights."""
        rows = np.flatnonzero(self._examples)
        # Rows of clients that did not answer are closed up, one after another: no second matrix is needed.
        for place, row in enumerate(rows):
            if place != row:
                self._updates[place] = self._updates[row]
                self._statistics[place] = self._statistics[row]
        aggregation = self._rule(self._updates[: len(rows)], self._examples[rows])
        accepted = self._statistics[: len(rows)][aggregation.accepted]
        return Weights(self._current.trainable + aggregation.update, coordinate_median(accepted))
