"""The comparison of the global, personal and local model of each client, under its class distribution."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from flwr.common.serde import recorddict_from_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from fedrobust.algorithms import Algorithm, State
from fedrobust.data.dataset import Split
from fedrobust.evaluation.class_mix import expected_accuracy, gain, known_mix
from fedrobust.evaluation.metrics import measure
from fedrobust.flower.records import arrays_of
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.record import ClientComparisonRecord, ClientModelRecord, ClientsComparisonRecord
from fedrobust.study.local_training import UNCHANGED, LocalTraining
from server.stages.evaluation import Evaluator

CONFIDENCE = 0.95
"""Simultaneous coverage of the intervals of all clients."""

TOGETHER = 4
"""Local models that are trained in parallel, each in memory."""


def no_changes(client: int) -> Mapping[str, Any]:
    """Return no changed settings."""
    return UNCHANGED


@dataclass(frozen=True, eq=False)
class LocalBaseline:
    """The training of a client's local model, without the federation.

    It starts from the federation's initial weights, and trains as an honest client in as many rounds as a client takes
    part in on average, spread over the study.

    Attributes:
        training: the local training of a round.
        shard: returns a client's images.
        start: the initial weights.
        rounds: the rounds in which it trains, ascending.
        changed: returns the settings of ``[training]`` that differ at a client.
    """

    training: LocalTraining
    shard: Callable[[int], Split]
    start: Weights
    rounds: Sequence[int]
    changed: Callable[[int], Mapping[str, Any]] = no_changes

    def __call__(self, client: int) -> Weights:
        """Return the weights of a client's local model."""
        shard, weights, changed = self.shard(client), self.start, self.changed(client)
        for round in self.rounds:
            weights, _ = self.training(shard, weights, round, client, changed)
        return weights


def unchanged(client: int, weights: Weights) -> Weights:
    """Return `weights`, with their BatchNorm statistics."""
    return weights


def as_stored(client: int, split: Split) -> Split:
    """Return `split`: the client's scanner shows images as they are stored."""
    return split


def no_difference(client: int) -> str:
    """Return "": nothing differs in the client's scanner."""
    return ""


@dataclass(frozen=True, eq=False)
class ClientComparison:
    """The comparison of clients' models.

    A client's metrics are those on the server's test split, with each class weighted by its share of the client's
    training images (expected accuracy).

    Attributes:
        evaluator: of the global model.
        algorithm: the algorithm, whose personal models are measured, if it has any.
        counts: (clients, classes) training images.
        clients: the compared clients.
        population: number of honest clients.
        baseline: trains local models; None: not compared.
        recalibrated: returns a client's own model with BatchNorm statistics recalibrated on its images, if the study
            recalibrates those of the global model.
        view: returns the test images as a client's scanner shows them.
        scanner: returns what differs in a client's scanner; the test images of clients with the same are the same.
    """

    evaluator: Evaluator
    algorithm: Algorithm
    counts: np.ndarray
    clients: Sequence[int]
    population: int
    baseline: LocalBaseline | None = None
    recalibrated: Callable[[int, Weights], Weights] = unchanged
    view: Callable[[int, Split], Split] = as_stored
    scanner: Callable[[int], str] = no_difference

    def __call__(self, state: Checkpoint) -> ClientsComparisonRecord:
        """Return the comparison of the clients' models after a study.

        Args:
            state: after the last round.
        """
        shared: dict[str, np.ndarray] = {}
        confidence = 1 - (1 - CONFIDENCE) / len(self.clients)
        local = self._local()
        found = []
        for client in self.clients:
            scanner = self.scanner(client)
            if scanner not in shared:
                shared[scanner] = self._logits(client, state.selected)
            found.append(self._compared(client, state, shared[scanner], next(local), confidence))
        told = [one for one in found if one.interval is not None]
        return ClientsComparisonRecord(
            population=self.population,
            clients=tuple(found),
            confidence=confidence,
            worse=tuple(one.client for one in told if one.interval and one.interval[1] < 0),
            better=tuple(one.client for one in told if one.interval and one.interval[0] > 0),
        )

    def _compared(
        self,
        client: int,
        state: Checkpoint,
        shared: np.ndarray,
        alone: np.ndarray | None,
        confidence: float,
    ) -> ClientComparisonRecord:
        labels, counts = self.evaluator.dataset.test.labels, self.counts[client]
        images, mix = int(counts.sum()), known_mix(labels, counts / counts.sum())
        if mix is None:
            return ClientComparisonRecord(client=client, images=images)
        own = self._personal(state, client)
        difference = None
        if alone is not None:
            ours = right(labels, shared if own is None else own)
            difference = gain(labels, ours, right(labels, alone), mix, confidence)
        models = {"global_model": shared, "personal": own, "local": alone}
        return ClientComparisonRecord(
            client=client,
            images=images,
            gain=difference.value if difference else None,
            interval=difference.interval if difference else None,
            **{
                name: None if logits is None else worth(labels, logits, mix)
                for name, logits in models.items()
            },
        )

    def _personal(self, state: Checkpoint, client: int) -> np.ndarray | None:
        """Return the logits of the test images by a client's personal model; None without one."""
        personal = getattr(self.algorithm, "personal", None)
        if personal is None:
            return None
        kept = kept_by(state.clients, client)
        own = personal(state.weights, kept, self.evaluator.classifier.layout)
        return self._logits(client, self.recalibrated(client, own))

    def _local(self) -> Iterator[np.ndarray | None]:
        """Yield the logits of the test images by each client's local model, a few clients at a time."""
        if self.baseline is None:
            yield from (None for _ in self.clients)
            return
        waiting = iter(self.clients)
        while some := list(islice(waiting, TOGETHER)):
            trained: Iterable[Weights] = list(self.evaluator.map(self.baseline, some))
            for client, weights in zip(some, trained, strict=True):
                yield self._logits(client, self.recalibrated(client, weights))

    def _logits(self, client: int, weights: Weights) -> np.ndarray:
        seen = self.view(client, self.evaluator.dataset.test)
        return self.evaluator.clean_logits(weights, seen.images)


def right(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the mask (n,) of correctly classified images."""
    found: np.ndarray = logits.argmax(1) == labels
    return found


def worth(labels: np.ndarray, logits: np.ndarray, mix: np.ndarray) -> ClientModelRecord:
    """Return the metrics of one model for one client; see `expected_accuracy`."""
    accuracy, balanced = expected_accuracy(labels, right(labels, logits), mix)
    # Local training may diverge.
    auc = measure(labels, logits).auc if np.isfinite(logits).all() else None
    return ClientModelRecord(accuracy=accuracy, balanced_accuracy=balanced, auc=auc)


def kept_by(states: Mapping[int, bytes], client: int) -> State:
    """Return a simulated client's state of the study's algorithm; empty if it never took part.

    Args:
        states: of a checkpoint, encoded, by node.
        client: its number.
    """
    encoded = states.get(client + 1)
    if encoded is None:
        return {}
    record = recorddict_from_proto(ProtoRecordDict.FromString(encoded))
    return arrays_of(record.array_records.get("algorithm"))


def spread(items: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of `items`, evenly spaced, including the first and the last; of one the middle one.

    Example:
        >>> spread(range(10), 4), spread([3, 5], 4), spread(range(9), 1)
        ([0, 3, 6, 9], [3, 5], [4])
    """
    if most == 1 and items:
        return [int(items[(len(items) - 1) // 2])]
    places = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return [int(items[place]) for place in places]
