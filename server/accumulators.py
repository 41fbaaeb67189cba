"""Collectors of a round's replies: a running mean, or a matrix of updates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fedrobust.aggregation import AggregationPipeline, StreamingRule, streams
from fedrobust.models.layout import Weights
from server.arrival import Arrival


@dataclass(frozen=True, eq=False)
class Collected:
    """The valid updates of a round, one row per client.

    Attributes:
        client_ids: the clients, ascending (n,).
        updates: (n, parameters) float32, their weights minus the global ones.
        statistics: (n, statistics) float32, their BatchNorm statistics, then the algorithm's arrays beside weights.
        examples: (n,) int64, their claimed numbers of images.
        losses: (n,) float64, their claimed training losses, NaN for a missing or impossible claim; None if not known.
        measured: (n,) bool, whether their BatchNorm statistics count.
        typical: median number of images that the study's clients registered; None: not known.
    """

    client_ids: np.ndarray
    updates: np.ndarray
    statistics: np.ndarray
    examples: np.ndarray
    losses: np.ndarray | None = None
    measured: np.ndarray = field(default_factory=lambda: np.ones(0, bool))
    typical: float | None = None


class Collector(Protocol):
    """Collects the clients' weights of one round as they arrive."""

    def add(
        self, client_id: int, weights: Weights, examples: int, loss: float, measured: bool = True
    ) -> None:
        """Add one client.

        Args:
            client_id: the client.
            weights: its weights; its statistics are followed by the algorithm's arrays beside weights.
            examples: its claimed number of images.
            loss: its claimed training loss.
            measured: whether its statistics count.
        """
        ...

    def result(self) -> Weights | Collected:
        """Return the clients' mean weights, or all of their updates."""
        ...


def collector_for(
    defence: AggregationPipeline,
    current: Weights,
    beside: int,
    sampled: list[int],
    typical: float,
    measured: bool,
    arrival: Arrival | None = None,
) -> Collector:
    """Return the collector for a round with `defence`.

    Args:
        defence: the study's.
        current: the global weights that the clients were sent.
        beside: number of values that a client sends beside weights and statistics.
        sampled: ids of the sampled clients.
        typical: median of the clients' numbers of images.
        measured: whether the record of the defence needs all updates, which are then kept.
        arrival: what is taken in place of each update.
    """
    if streams(defence.rule) and not defence.before and not measured:
        return StreamingMean(defence.rule, current, beside, typical, arrival)
    return UpdateMatrix(current.trainable, len(current.statistics) + beside, sampled, typical)


class StreamingMean:
    """A running mean of weights and statistics, for rules that read each client once."""

    def __init__(
        self,
        rule: StreamingRule,
        current: Weights,
        beside: int,
        typical: float,
        arrival: Arrival | None = None,
    ):
        self._rule, self._typical, self._current = rule, typical, current.statistics
        self._start, self._arrival = current.trainable, arrival if arrival and arrival.acts else None
        self._trainable = rule.start(len(current.trainable))
        self._statistics = rule.start(len(current.statistics))
        self._beside = rule.start(beside)
        self._measured = False

    def add(
        self, client_id: int, weights: Weights, examples: int, loss: float, measured: bool = True
    ) -> None:
        """Add one client; its loss is not used."""
        weight, size = self._rule.weight(examples, self._typical), len(self._current)
        trainable = weights.trainable
        if self._arrival is not None:
            trainable = self._start + self._arrival.one(trainable - self._start)
        self._trainable.add(trainable, weight)
        self._beside.add(weights.statistics[size:], weight)
        if measured:
            self._statistics.add(weights.statistics[:size], weight)
            self._measured = True

    def result(self) -> Weights:
        """Return the mean weights; the statistics that the clients were sent if none of theirs counts."""
        statistics = self._statistics.result() if self._measured else self._current
        return Weights(self._trainable.result(), np.concatenate([statistics, self._beside.result()]))


class UpdateMatrix:
    """A float32 matrix with one row for each client, filled as replies arrive, for rules that compare clients."""

    def __init__(
        self, current: np.ndarray, statistics: int, sampled: list[int], typical: float | None = None
    ):
        self._current, self._typical = current, typical
        self._client_ids = np.array(sorted(sampled), np.int64)
        self._rows = {int(client_id): row for row, client_id in enumerate(self._client_ids)}
        self._updates = np.empty((len(sampled), current.size), np.float32)
        self._statistics = np.empty((len(sampled), statistics), np.float32)
        self._examples = np.zeros(len(sampled), np.int64)
        self._losses = np.full(len(sampled), np.nan)
        self._measured = np.ones(len(sampled), bool)

    def add(
        self, client_id: int, weights: Weights, examples: int, loss: float, measured: bool = True
    ) -> None:
        """Add one client."""
        row = self._rows[client_id]
        np.subtract(weights.trainable, self._current, out=self._updates[row])
        self._statistics[row] = weights.statistics
        self._examples[row] = examples
        self._losses[row] = loss
        self._measured[row] = measured

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
            self._measured[rows],
            self._typical,
        )


class ClientModels:
    """The clients' weights one by one, for what asks each of them."""

    def __init__(self) -> None:
        self._sent: dict[int, Weights] = {}

    def add(
        self, client_id: int, weights: Weights, examples: int, loss: float, measured: bool = True
    ) -> None:
        """Add one client; see `Collector`."""
        self._sent[client_id] = weights

    def sent(self) -> list[Weights]:
        """Return the weights, by client id."""
        return [self._sent[client] for client in sorted(self._sent)]

    def result(self) -> Weights | Collected:
        """Raise NotImplementedError: models are asked, not aggregated."""
        raise NotImplementedError("models are asked, not aggregated")


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


def alone(sent: Weights, beside: Mapping[str, int]) -> Weights:
    """Return what a client sent without the algorithm's arrays after its statistics."""
    return Weights(sent.trainable, parted(sent.statistics, beside)[0])
