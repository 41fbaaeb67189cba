"""The Flower strategy: who is sampled, what is sent, which replies count, and how they become the next model."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedrobust.aggregation import Memory
from fedrobust.config import Experiment
from fedrobust.data.dataset import Problem
from fedrobust.flower.records import problem_config, weights_of, weights_record
from fedrobust.models.layout import Layout, Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.shares import sample_size
from server.accumulators import collector_for
from server.aggregation_step import AggregationStep, RuleError
from server.client_registry import ClientRegistry
from server.errors import AttackFailedError, RoundError
from server.replies import MOST_EXAMPLES, Failure, Reply, read_reply
from server.soundness import statistics_fault


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
        fault: why the new global model cannot be used, "" if it can.
        memory: what rules and the server optimiser remember if the round is accepted.
    """

    sampled: int
    trained: int
    failures: tuple[Failure, ...]
    loss: float
    client_seconds: float
    defence: Mapping[str, Any] | None = None
    fault: str = ""
    memory: Memory = field(default_factory=dict)

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

    Attributes:
        memory: what the last accepted round left to be remembered; whoever accepts a round sets it.
        outcome: of the last round.
    """

    def __init__(
        self,
        experiment: Experiment,
        layout: Layout,
        problem: Problem,
        population: ClientRegistry,
        defender: AggregationStep,
    ):
        self.experiment = experiment
        self.layout = layout
        self.problem = problem
        self.registry = population
        self.outcome: RoundOutcome | None = None
        self.memory: Memory = {}
        self._sampled: list[int] = []
        self._current: Weights | None = None
        self.aggregation_step = defender

    def summary(self) -> None:
        """Say nothing: events do."""

    def sample(self, round: int) -> list[int]:
        """Return the partitions that take part in `round`, ascending."""
        available = self.registry.partitions
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
            Message(content, self.registry.node(partition), MessageType.TRAIN, group_id=str(server_round))
            for partition in self.registry.largest_first(self._sampled)
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        """Return the next global weights from the replies that pass the checks.

        Replies may come in any order and be an iterator that is still waiting for them: each is read when it comes
        and not kept. `memory` stays as it is: what the round leaves to be remembered is in `outcome`, with the reason
        why the new weights cannot be used, if there is one.

        What a round needs does not depend on whether the study knows of attackers: in a real federation nobody does.

        Raises:
            RoundError: fewer than ``federation.min-replies`` of the sampled clients are left, or one; or the rule can
                make nothing of them. The model is the same as before.
            AttackFailedError: a malicious client failed by a fault of the study, and ``poisoning.on-failure`` is
                "stop".
        """
        assert self._current is not None
        defender, settings = self.aggregation_step, self.experiment.federation
        collector = collector_for(
            defender.defence,
            self.layout,
            self._current,
            self._sampled,
            float(np.median(self.registry.sizes)),
            defender.measured,
        )
        unheard = set(self._sampled)
        counted: list[ReplyNote] = []
        strangers: list[Failure] = []
        refused: list[Failure] = []
        broken: list[Failure] = []
        for message in replies:
            partition = self.registry.partition(message.metadata.src_node_id)
            if partition is None or partition not in unheard:
                strangers.append(Failure(-1 if partition is None else partition, "it answered unasked"))
                continue
            unheard.remove(partition)
            answer = self._read(message, partition, server_round)
            if isinstance(answer, Failure):
                (broken if message.has_error() else refused).append(answer)
                continue
            collector.add(partition, answer.weights, answer.examples)
            counted.append(ReplyNote(partition, answer.examples, answer.loss, answer.seconds))
        broken += [Failure(partition, "no reply in time") for partition in unheard]
        self.outcome = outcome_of(len(self._sampled), counted, [*strangers, *refused, *broken])
        attackers = defender.attackers(server_round, self._sampled)
        lost = sorted(
            (failure for failure in broken if failure.partition in attackers), key=lambda each: each.partition
        )
        out = [failure.partition for failure in refused]
        if defender.measured:
            self._note_defence(defender.record(server_round, self._sampled, out, lost))
        self._stop_for(server_round, lost)
        needed = max(1, math.ceil(settings.min_replies * len(self._sampled)))
        if len(counted) < needed:
            first = self.outcome.failures[0]
            raise RoundError(
                f"round {server_round}: {len(counted)} of {len(self._sampled)} sampled clients are left, "
                f"federation.min-replies = {settings.min_replies} asks for {needed}; first reason: "
                f"client {first.partition}: {first.reason}"
            )
        # Numbers of 3e38 overflow here and there; what comes of them is refused below.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                defended = defender.next_weights(
                    server_round, self._current, collector.result(), self.memory, out, lost
                )
            except RuleError as error:
                raise RoundError(
                    f"round {server_round}: the rule can make nothing of the replies: {error}"
                ) from error
        self._note_defence(defended.record)
        self._stop_for(server_round, defended.attack_failures)
        self.outcome = replace(self.outcome, fault=defended.fault, memory=defended.memory)
        record = weights_record(defended.weights)
        return record, MetricRecord({"loss": self.outcome.loss, "clients": len(counted)})

    def _read(self, message: Message, partition: int, round: int) -> Reply | Failure:
        """Return what a client answers, or why it is left out."""
        checked = self.experiment.federation.claims == "checked"
        most = self.registry.size(partition) if checked else MOST_EXAMPLES
        answer = read_reply(message, partition, self.layout, round, most)
        if isinstance(answer, Failure):
            return answer
        fault = statistics_fault(answer.weights.statistics, self.layout)
        return Failure(partition, fault) if fault else answer

    def _note_defence(self, record: Mapping[str, Any] | None) -> None:
        assert self.outcome is not None
        self.outcome = replace(self.outcome, defence=record)

    def _stop_for(self, round: int, failures: Sequence[Failure]) -> None:
        """Stop the study if an attack did not run as it was asked to: a crash is no success of the defence.

        Raises:
            AttackFailedError: it did not, and ``poisoning.on-failure`` is "stop".
        """
        poisoning = self.experiment.poisoning
        if not failures or poisoning.on_failure == "mark":
            return
        first, others = failures[0], len(failures) - 1
        more = f" (and {others} more)" if others else ""
        raise AttackFailedError(
            f"round {round}: malicious client {first.partition}{more} failed: {first.reason}. Its attack did not run, "
            f'so that the round says nothing of the defence: mend poisoning.attack = "{poisoning.attack}", or set '
            'poisoning.on-failure = "mark" to go on and have such rounds marked'
        )

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
