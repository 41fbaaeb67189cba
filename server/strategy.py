"""The Flower strategy: who is sampled, what is sent, which replies count, and how they become the next model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedrobust.config import Experiment
from fedrobust.errors import FedrobustError
from fedrobust.models.layout import Layout, Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.simulation.records import problem_config, weights_of, weights_record
from fedrobust.study import Problem, rule_of
from server.collector import collector_for
from server.replies import Failure, read_reply

if TYPE_CHECKING:
    from server.population import Population


class RoundError(FedrobustError, RuntimeError):
    """A round has too few replies to go on."""


@dataclass(frozen=True)
class RoundOutcome:
    """What a round's training came to.

    Attributes:
        sampled: how many clients were asked.
        trained: how many replies count.
        failures: clients left out, with reasons.
        loss: mean training loss over the images of the clients that count.
        client_seconds: sum of the clients' own seconds of training.
    """

    sampled: int
    trained: int
    failures: tuple[Failure, ...]
    loss: float
    client_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``result.json``."""
        return {
            "sampled": self.sampled,
            "trained": self.trained,
            "failed": len(self.failures),
            "failures": [
                {"partition": failure.partition, "reason": failure.reason} for failure in self.failures
            ],
            "loss": self.loss if math.isfinite(self.loss) else None,
            "seconds": self.client_seconds,
        }


class FederatedStrategy(Strategy):
    """Seeded sampling, checked replies, and one aggregation rule.

    Flower samples and orders clients by random node ids, so that a seed does not fix a run; here both go by
    partition.

    Args:
        experiment: the study.
        layout: of the global model.
        problem: what its images look like.
        population: its clients.
    """

    def __init__(self, experiment: Experiment, layout: Layout, problem: Problem, population: "Population"):
        self.experiment = experiment
        self.layout = layout
        self.problem = problem
        self.population = population
        self.outcome: RoundOutcome | None = None
        self._sampled: list[int] = []
        self._current: Weights | None = None
        self.rule = rule_of(experiment)

    def summary(self) -> None:
        """Say nothing: events do."""

    def sample(self, round: int) -> list[int]:
        """Return the partitions that take part in `round`, ascending."""
        available = self.population.partitions
        wanted = sample_size(self.experiment.federation.participation, len(available))
        draw = generator(self.experiment.seed, Purpose.SAMPLING, round)
        return sorted(int(partition) for partition in draw.choice(available, wanted, replace=False))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return one message to every sampled client, clients with many images first.

        A message holds the global weights, the number of the round, and what the study's images look like.
        """
        self._sampled = self.sample(server_round)
        self._current = weights_of(arrays)
        settings = {**config, "round": server_round, **problem_config(self.problem)}
        content = RecordDict({"weights": arrays, "config": ConfigRecord(settings)})
        return [
            Message(content, self.population.node(partition), MessageType.TRAIN, group_id=str(server_round))
            for partition in self.population.largest_first(self._sampled)
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        """Return the next global weights from the replies that pass the checks.

        Replies may come in any order and be an iterator that is still waiting for them: each is read when it comes
        and not kept.

        Raises:
            RoundError: fewer than ``federation.min-replies`` of the sampled clients are left.
        """
        assert self._current is not None
        collector = collector_for(self.rule, self.layout, self._current, self._sampled)
        expected = set(self._sampled)
        counted: list[ReplyNote] = []
        failures: list[Failure] = []
        for message in replies:
            partition = self.population.partition(message.metadata.src_node_id)
            if partition is None or partition not in expected:
                continue
            expected.remove(partition)
            answer = read_reply(message, partition, self.layout)
            if isinstance(answer, Failure):
                failures.append(answer)
                continue
            collector.add(partition, answer.weights, answer.examples)
            counted.append(ReplyNote(partition, answer.examples, answer.loss, answer.seconds))
        failures += [Failure(partition, "no reply in time") for partition in expected]
        self.outcome = outcome_of(len(self._sampled), counted, failures)
        needed = max(1, math.ceil(self.experiment.federation.min_replies * len(self._sampled)))
        if len(counted) < needed:
            first = self.outcome.failures[0]
            raise RoundError(
                f"round {server_round}: {len(counted)} of {len(self._sampled)} sampled clients are left, "
                f"federation.min-replies = {self.experiment.federation.min_replies} asks for {needed}; first reason: "
                f"client {first.partition}: {first.reason}"
            )
        record = weights_record(collector.result())
        return record, MetricRecord({"loss": self.outcome.loss, "clients": len(counted)})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return no messages: the server evaluates."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing: the server evaluates."""
        return None


@dataclass(frozen=True)
class ReplyNote:
    """What is kept of a reply that counted: everything but its weights."""

    partition: int
    examples: int
    loss: float
    seconds: float


def outcome_of(sampled: int, counted: list[ReplyNote], failures: list[Failure]) -> RoundOutcome:
    """Return the figures of a round, whoever answered first; the loss weights clients by their images."""
    counted = sorted(counted, key=lambda note: note.partition)
    failures = sorted(failures, key=lambda failure: failure.partition)
    images = sum(reply.examples for reply in counted)
    loss = sum(reply.loss * reply.examples for reply in counted) / images if images else math.nan
    return RoundOutcome(
        sampled,
        len(counted),
        tuple(failures),
        loss,
        sum(reply.seconds for reply in counted if math.isfinite(reply.seconds)),
    )


def sample_size(participation: float, clients: int) -> int:
    """Return how many of `clients` take part in a round: at least one."""
    return max(1, round_half_up(participation * clients))


def round_half_up(value: float) -> int:
    """Return the nearest whole number; halves go up, unlike Python's `round`."""
    return math.floor(value + 0.5)
