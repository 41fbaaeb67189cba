"""The federation of a study: who is sampled, what is sent, which replies count, and how they become the next model."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedrobust.aggregation import Memory
from fedrobust.algorithms.contract import NOTHING, told_by
from fedrobust.config.sections import Federation as FederationSettings
from fedrobust.config.sections import Poisoning
from fedrobust.data.dataset import Problem
from fedrobust.flower.records import arrays_record, problem_config, weights_record
from fedrobust.models.layout import Layout, Part, Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.events import ClientReplied, emit
from fedrobust.runs.record import ClientsRecord, DefenceRecord
from fedrobust.shares import sample_size
from server.accumulators import Collector, collector_for
from server.aggregation_step import AggregationStep, RuleError
from server.client_registry import ClientRegistry
from server.errors import AttackFailedError
from server.groups import TOGETHER, Grouping, read_group
from server.memories import memory_of
from server.replies import MOST_EXAMPLES, Failure, Reply, read_reply
from server.soundness import beside_fault, statistics_fault


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
    """

    sampled: int
    trained: int
    failures: tuple[Failure, ...]
    loss: float
    client_seconds: float
    defence: DefenceRecord | None = None

    def record(self) -> ClientsRecord:
        """Return what became of the clients, as ``result.json`` holds it."""
        return ClientsRecord(
            sampled=self.sampled,
            trained=self.trained,
            failed=len(self.failures),
            failures=tuple(failure.record() for failure in self.failures),
            loss=self.loss if math.isfinite(self.loss) else None,
            seconds=self.client_seconds,
        )


@dataclass(frozen=True, eq=False)
class Aggregated:
    """What the replies of a round come to.

    Attributes:
        outcome: its figures.
        weights: of the next global model; None where none could be made.
        memory: what rules and the server optimiser remember if the round is accepted.
        fault: why the weights cannot be used, or why there are none; "" if they can.
    """

    outcome: RoundOutcome
    weights: Weights | None
    memory: Memory = field(default_factory=dict)
    fault: str = ""


def whole(round: int) -> Part | None:
    """Return None: all that travels is trained in `round`."""
    return None


@dataclass(frozen=True, eq=False)
class Federation:
    """Seeded sampling, checked replies, and one aggregation step.

    Flower's own strategies sample and order clients by random node ids, so that a seed does not fix a run; here both go
    by client. Weights become records where a message is made, and weights again where a reply is read.

    Attributes:
        settings: of ``[federation]``.
        poisoning: of ``[poisoning]``: what a malicious client's failure means.
        layout: of the global model.
        problem: what its images look like.
        registry: the clients.
        step: turns replies into the next global weights.
        seed: the study's.
        grouping: which clients are asked together.
        part: returns what is trained in a round of the weights that travel; whatever else a client changes is left out.
    """

    settings: FederationSettings
    poisoning: Poisoning
    layout: Layout
    problem: Problem
    registry: ClientRegistry
    step: AggregationStep
    seed: int
    grouping: Grouping = field(default_factory=Grouping)
    part: Callable[[int], Part | None] = whole

    def sample(self, round: int) -> list[int]:
        """Return the clients that take part in `round`, ascending."""
        available = self.registry.client_ids
        wanted = sample_size(self.settings.participation, len(available))
        draw = generator(self.seed, Purpose.SAMPLING, round)
        return sorted(int(client) for client in draw.choice(available, wanted, replace=False))

    def messages(
        self, round: int, weights: Weights, sampled: Sequence[int], memory: Memory = NOTHING
    ) -> list[Message]:
        """Return one message to every sampled client or group of clients, those with many images first.

        A message holds the global weights, the number of the round, what the study's images look like, the clients of
        a group, and what the algorithm tells clients of what it remembers in `memory`.
        """
        config = {"round": round, **problem_config(self.problem, self.layout.frozen)}
        record = weights_record(weights)
        alone = RecordDict({"weights": record, "config": ConfigRecord(config)})
        if told := told_by(self.step.algorithm, memory_of(memory, "algorithm")):
            alone["algorithm"] = arrays_record(told)
        messages = []
        for group in self.groups(round, sampled):
            kind, content = MessageType.TRAIN, alone
            if len(group) > 1:
                kind = TOGETHER
                content = RecordDict(
                    {"weights": record, "config": ConfigRecord({**config, "clients": group})}
                )
            messages.append(Message(content, self.registry.node(group[0]), kind, group_id=str(round)))
        return messages

    def groups(self, round: int, sampled: Sequence[int]) -> list[list[int]]:
        """Return which of the `sampled` clients are asked together, those with many images first."""
        return self.grouping.groups(round, self.registry.largest_first(list(sampled)))

    def aggregate(
        self,
        round: int,
        current: Weights,
        sampled: Sequence[int],
        replies: Iterable[Message],
        memory: Memory,
    ) -> Aggregated:
        """Return the next global weights from the replies that pass the checks.

        Replies may come in any order and be an iterator that is still waiting for them: each is read when it comes
        and not kept. There are no weights where fewer than ``federation.min-replies`` of the sampled clients are left,
        or where the rule can make nothing of them.

        What a round needs does not depend on whether the study knows of attackers: in a real federation nobody does.

        Args:
            round: from 1.
            current: the global weights that the clients were sent.
            sampled: who was asked.
            replies: their answers.
            memory: what the last accepted round left to be remembered; it is not changed.

        Raises:
            AttackFailedError: a malicious client failed by a fault of the study, and ``poisoning.on-failure`` is
                "stop".
        """
        step, sampled = self.step, list(sampled)
        collector = collector_for(
            step.defence,
            current.trainable,
            len(current.statistics) + sum(step.beside.values()),
            sampled,
            float(np.median(self.registry.sizes)),
            step.measured,
        )
        heard = self._heard(round, current, sampled, replies, collector)
        outcome = outcome_of(len(sampled), heard.counted, [*heard.strangers, *heard.refused, *heard.broken])
        attackers = step.attackers(round, sampled)
        lost = sorted(
            (failure for failure in heard.broken if failure.client_id in attackers),
            key=lambda each: each.client_id,
        )
        out = [failure.client_id for failure in heard.refused]
        if step.measured:
            outcome = replace(outcome, defence=step.record(round, sampled, out, lost))
        self._stop_for(round, lost, outcome)
        needed = max(1, math.ceil(self.settings.min_replies * len(sampled)))
        if len(heard.counted) < needed:
            first = outcome.failures[0]
            return Aggregated(
                outcome,
                None,
                fault=f"round {round}: {len(heard.counted)} of {len(sampled)} sampled clients are left, "
                f"federation.min-replies = {self.settings.min_replies} asks for {needed}; first reason: "
                f"client {first.client_id}: {first.reason}",
            )
        # Numbers of 3e38 overflow here and there; what comes of them is refused below.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                stepped = step.next_weights(
                    round, current, collector.result(), memory, out, lost, len(heard.counted)
                )
            except RuleError as error:
                return Aggregated(
                    outcome,
                    None,
                    fault=f"round {round}: the rule can make nothing of the replies: {error}",
                )
        outcome = replace(outcome, defence=stepped.record)
        self._stop_for(round, stepped.attack_failures, outcome)
        # Noise, a coalition or a server optimiser may move what is frozen.
        weights = self.trained_only(round, stepped.weights, current)
        return Aggregated(outcome, weights, stepped.memory, stepped.fault)

    def trained_only(self, round: int, new: Weights, old: Weights) -> Weights:
        """Return `new` where it is trained in `round`, and `old` where it is frozen."""
        part = self.part(round)
        return new if part is None else part.only(new, old)

    def _heard(
        self,
        round: int,
        current: Weights,
        sampled: Sequence[int],
        replies: Iterable[Message],
        collector: Collector,
    ) -> "Heard":
        """Read every reply when it comes: those that count go into `collector`."""
        heard, unheard = Heard(), set(sampled)
        groups = {group[0]: group for group in self.groups(round, sampled) if len(group) > 1}
        for message in replies:
            client = self.registry.client_of(message.metadata.src_node_id)
            if client is None or client not in unheard:
                heard.strangers.append(Failure(-1 if client is None else client, "it answered unasked"))
                continue
            if client in groups:
                answers = read_group(message, groups[client], self.layout, round)
            else:
                answers = [self._read(message, client, round)]
            for answer in answers:
                unheard.remove(answer.client_id)
                if answer.client_id != client:  # a carrier tells of the first client alone
                    emit(ClientReplied(self.registry.node(answer.client_id), failure_of(answer)))
                if isinstance(answer, Failure):
                    (heard.broken if message.has_error() else heard.refused).append(answer)
                    continue
                weights = self.trained_only(round, answer.weights, current)
                averaged = replace(answer, weights=weights).averaged
                collector.add(answer.client_id, averaged, answer.examples)
                heard.counted.append(
                    ReplyNote(answer.client_id, answer.examples, answer.loss, answer.seconds)
                )
        heard.broken += [Failure(client, "no reply in time") for client in unheard]
        return heard

    def _read(self, message: Message, client: int, round: int) -> Reply | Failure:
        """Return what a client answers, or why it is left out."""
        most = self.registry.size(client) if self.settings.claims == "checked" else MOST_EXAMPLES
        answer = read_reply(message, client, self.layout, round, most, self.step.beside)
        if isinstance(answer, Failure):
            return answer
        fault = statistics_fault(answer.weights.statistics, self.layout) or beside_fault(answer.beside)
        return Failure(client, fault) if fault else answer

    def _stop_for(self, round: int, failures: Sequence[Failure], outcome: RoundOutcome) -> None:
        """Stop the study if an attack did not run as it was asked to: a crash is no success of the defence.

        Raises:
            AttackFailedError: it did not, and ``poisoning.on-failure`` is "stop".
        """
        if not failures or self.poisoning.on_failure == "mark":
            return
        first, others = failures[0], len(failures) - 1
        more = f" (and {others} more)" if others else ""
        raise AttackFailedError(
            f"round {round}: malicious client {first.client_id}{more} failed: {first.reason}. Its attack did not run, "
            f'so that the round says nothing of the defence: mend poisoning.attack = "{self.poisoning.attack}", or set '
            'poisoning.on-failure = "mark" to go on and have such rounds marked',
            outcome,
        )


def failure_of(answer: Reply | Failure) -> str:
    """Return why a client is left out, "" where it is not."""
    return answer.reason if isinstance(answer, Failure) else ""


@dataclass
class Heard:
    """The replies of a round, by what became of them.

    Attributes:
        counted: those that count.
        strangers: of nodes that nobody asked.
        refused: those that do not pass the checks.
        broken: clients that failed, or did not answer in time.
    """

    counted: "list[ReplyNote]" = field(default_factory=list)
    strangers: list[Failure] = field(default_factory=list)
    refused: list[Failure] = field(default_factory=list)
    broken: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class ReplyNote:
    """What is kept of a reply that counted: everything but its weights."""

    client_id: int
    examples: int
    loss: float
    seconds: float


def outcome_of(sampled: int, counted: list[ReplyNote], failures: list[Failure]) -> RoundOutcome:
    """Return the figures of a round, whoever answered first; the loss weights clients by their images."""
    counted = sorted(counted, key=lambda note: note.client_id)
    failures = sorted(failures, key=lambda failure: failure.client_id)
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


def together(outcomes: Sequence[RoundOutcome]) -> RoundOutcome:
    """Return the figures of a round over several global models; the loss weights each by the clients that count."""
    heard = [one for one in outcomes if one.trained and math.isfinite(one.loss)]
    trained = sum(one.trained for one in heard)
    return RoundOutcome(
        sum(one.sampled for one in outcomes),
        sum(one.trained for one in outcomes),
        tuple(failure for one in outcomes for failure in one.failures),
        sum(one.loss * one.trained for one in heard) / trained if trained else math.nan,
        sum(one.client_seconds for one in outcomes),
    )
