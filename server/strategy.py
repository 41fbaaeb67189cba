"""The Flower strategy: who is sampled, what is sent, which replies count, and how they become the next model."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedrobust.config import Experiment
from fedrobust.errors import FedrobustError
from fedrobust.models.layout import Layout, Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.simulation.records import problem_config, weights_of, weights_record
from fedrobust.study import Problem, sample_size
from server.collector import collector_for
from server.defender import Defender
from server.replies import MOST_EXAMPLES, Failure, read_reply

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
        defence: what the defence did, None for a mean of honest clients.
        kept: why the global model stays as it was, "" where it does not.
    """

    sampled: int
    trained: int
    failures: tuple[Failure, ...]
    loss: float
    client_seconds: float
    defence: Mapping[str, Any] | None = None
    kept: str = ""

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
        defender: turns replies into the next global weights.
    """

    def __init__(
        self,
        experiment: Experiment,
        layout: Layout,
        problem: Problem,
        population: "Population",
        defender: Defender,
    ):
        self.experiment = experiment
        self.layout = layout
        self.problem = problem
        self.population = population
        self.outcome: RoundOutcome | None = None
        self._sampled: list[int] = []
        self._current: Weights | None = None
        self.defender = defender

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
        and not kept. Where there are attackers, a round in which too few replies are left leaves the global model as it
        was: who can spoil replies must not be able to stop the study.

        Raises:
            RoundError: fewer than ``federation.min-replies`` of the sampled clients are left, and nobody attacks.
        """
        assert self._current is not None
        defender, population = self.defender, self.population
        collector = collector_for(
            defender.defence,
            self.layout,
            self._current,
            self._sampled,
            float(np.median(population.sizes)),
            defender.measured,
        )
        expected = set(self._sampled)
        counted: list[ReplyNote] = []
        failures: list[Failure] = []
        refused: list[int] = []
        for message in replies:
            partition = population.partition(message.metadata.src_node_id)
            if partition is None or partition not in expected:
                failures.append(Failure(-1 if partition is None else partition, "it answered unasked"))
                continue
            expected.remove(partition)
            most = (
                population.size(partition)
                if self.experiment.federation.claims == "checked"
                else MOST_EXAMPLES
            )
            answer = read_reply(message, partition, self.layout, server_round, most)
            if isinstance(answer, Failure):
                failures.append(answer)
                refused += [] if message.has_error() else [partition]
                continue
            collector.add(partition, answer.weights, answer.examples)
            counted.append(ReplyNote(partition, answer.examples, answer.loss, answer.seconds))
        failures += [Failure(partition, "no reply in time") for partition in expected]
        self.outcome = outcome_of(len(self._sampled), counted, failures)
        needed = max(1, math.ceil(self.experiment.federation.min_replies * len(self._sampled)))
        if len(counted) < needed:
            first = self.outcome.failures[0]
            reason = (
                f"round {server_round}: {len(counted)} of {len(self._sampled)} sampled clients are left, "
                f"federation.min-replies = {self.experiment.federation.min_replies} asks for {needed}; first reason: "
                f"client {first.partition}: {first.reason}"
            )
            if not defender.malicious:
                raise RoundError(reason)
            self.outcome = replace(self.outcome, kept=reason)
            return weights_record(self._current), MetricRecord({"clients": len(counted)})
        defended = defender.next_weights(server_round, self._current, collector.result(), refused)
        self.outcome = replace(self.outcome, defence=defended.record)
        record = weights_record(defended.weights)
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
    told = [reply for reply in counted if math.isfinite(reply.loss)]
    images = sum(reply.examples for reply in told)
    loss = sum(reply.loss * reply.examples for reply in told) / images if images else math.nan
    return RoundOutcome(
        sampled,
        len(counted),
        tuple(failures),
        loss,
        sum(reply.seconds for reply in counted if math.isfinite(reply.seconds)),
    )
