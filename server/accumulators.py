"""Collectors of a round's replies: a running mean, or a matrix of updates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedrobust.aggregation import AggregationPipeline, StreamingRule
from fedrobust.models.layout import Weights


@dataclass(frozen=True, eq=False)
class Collected:
    """The valid updates of a round, one row per client.

    Attributes:
        client_ids: the clients, ascending (n,).
        updates: (n, parameters) float32, their weights minus the global ones.
        statistics: (n, statistics) float32, their BatchNorm statistics, then the algorithm's arrays beside weights.
        examples: (n,) int64, their claimed numbers of images.
        losses: (n,) float64, their claimed training losses, NaN for a missing or impossible claim; None if not known.
    """

    client_ids: np.ndarray
    updates: np.ndarray
    statistics: np.ndarray
    examples: np.ndarray
    losses: np.ndarray | None = None


class Collector(Protocol):
    """Collects the clients' weights of one round as they arrive."""

    def add(self, client_id: int, weights: Weights, examples: int, loss: float) -> None:
        """Add one client's weights, and the number of images and the training loss that it claims."""
        ...

    def result(self) -> Weights | Collected:
        """Return the clients' mean weights, or all of their updates."""
        ...


def collector_for(
    defence: AggregationPipeline,
    current: np.ndarray,
    statistics: int,
    sampled: list[int],
    typical: float,
    measured: bool,
) -> Collector:
    """Return the collector for a round with `defence`.

    Args:
        defence: the study's.
        current: (parameters,) the global weights that the clients were sent.
        statistics: number of other values that a client sends.
        sampled: ids of the sampled clients.
        typical: median of the clients' numbers of images.
        measured: whether the record of the defence needs all updates, which are then kept.
    """
    if isinstance(defence.rule, StreamingRule) and not defence.before and not measured:
        return StreamingMean(defence.rule, len(current), statistics, typical)
    return UpdateMatrix(current, statistics, sampled)


class StreamingMean:
    """A running mean of weights and statistics, for rules that read each client once."""

    def __init__(self, rule: StreamingRule, parameters: int, statistics: int, typical: float):
        self._rule, self._typical = rule, typical
        self._trainable = rule.start(parameters)
        self._statistics = rule.start(statistics)

    def add(self, client_id: int, weights: Weights, examples: int, loss: float) -> None:
        """Add one client; its loss is not used."""
        weight = self._rule.weight(examples, self._typical)
        self._trainable.add(weights.trainable, weight)
        self._statistics.add(weights.statistics, weight)

    def result(self) -> Weights:
        """Return the mean weights."""
        return Weights(self._trainable.result(), self._statistics.result())


class UpdateMatrix:
    """A float32 matrix with one row for each client, filled as replies arrive, for rules that compare clients."""

    def __init__(self, current: np.ndarray, statistics: int, sampled: list[int]):
        self._current = current
        self._client_ids = np.array(sorted(sampled), np.int64)
        self._rows = {int(client_id): row for row, client_id in enumerate(self._client_ids)}
        self._updates = np.empty((len(sampled), current.size), np.float32)
        self._statistics = np.empty((len(sampled), statistics), np.float32)
        self._examples = np.zeros(len(sampled), np.int64)
        self._losses = np.full(len(sampled), np.nan)

    def add(self, client_id: int, weights: Weights, examples: int, loss: float) -> None:
        """Add one client."""
        row = self._rows[client_id]
        np.subtract(weights.trainable, self._current, out=self._updates[row])
        self._statistics[row] = weights.statistics
        self._examples[row] = examples
        self._losses[row] = loss

    def result(self) -> Collected:
        """Return the clients that replied."""
        rows = np.flatnonzero(self._examples)
        # Rows are moved up over those of clients that did not reply, without a second matrix.
        for place, row in enumerate(rows):
            if place != row:
                self._updates[place] = self._updates[row]
                self._statistics[place] = self._statistics[row]
        n = len(rows)
        return Collected(
            self._client_ids[rows],
            self._updates[:n],
            self._statistics[:n],
            self._examples[rows],
            self._losses[rows],
        )


def parted(aggregate: np.ndarray, beside: Mapping[str, int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Split an aggregate into the statistics and the algorithm's arrays beside weights.

    Args:
        aggregate: the statistics, then those arrays in sequence.
        beside: their lengths by name.

    Example:
        >>> parted(np.arange(3.0), {"control": 2})
        (array([0.]), {'control': array([1., 2.])})
    """
    sizes = list(beside.values())
    ends = len(aggregate) - sum(sizes) + np.cumsum([0, *sizes])[:-1]
    statistics, *arrays = np.split(aggregate, ends)
    return statistics, dict(zip(beside, arrays, strict=True))
