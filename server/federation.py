"""The federation of a study: messages, checks of replies, aggregation."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from flwr.app import ConfigRecord, Message, MessageType, RecordDict

from fedrobust.aggregation import Memory
from fedrobust.algorithms.contract import NOTHING, broadcast_by
from fedrobust.config.sections import Federation as FederationSettings
from fedrobust.config.sections import Poisoning
from fedrobust.data.problem import Problem
from fedrobust.flower.records import arrays_record, problem_config, weights_record
from fedrobust.models.layout import Layout, Part, Weights
from fedrobust.privacy import changes_models, on_model, promise_of
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.events import ClientReplied, emit
from server.accumulators import ClientModels, Collector, alone, collector_for
from server.aggregation_step import AggregationStep
from server.arrival import Arrival
from server.client_registry import ClientRegistry
from server.errors import AttackFailedError, RuleError
from server.groups import TOGETHER, Grouping, read_group
from server.memories import memory_of
from server.moments import as_moments, as_statistics
from server.participation import received_of
from server.replies import MOST_EXAMPLES, Failure, Reply, read_reply
from server.round_outcome import (
    Aggregated,
    ReplyNote,
    RoundOutcome,
    RoundReplies,
    failure_of,
    first_reason,
    outcome_of,
)
from server.sampling import Sampling
from server.soundness import beside_fault, statistics_fault

DROPPED = "dropout: its reply is lost (federation.availability)"
"""The reason of a failure that the study simulates."""


def whole(round: int) -> Part | None:
    """Return None: all exchanged weights are trained in `round`."""
    return None


@dataclass(frozen=True, eq=False)
class Federation:
    """Messages, checked replies, and one aggregation step.

    Flower's own strategies order clients by random node ids, so that a seed does not determine a run; here the order is
    that of client ids. Weights are converted to records when a message is made, and back when a reply is read.

    Attributes:
        settings: of ``[federation]``.
        poisoning: of ``[poisoning]``: the consequence of a malicious client's failure.
        layout: of the global model.
        problem: image shape and number of classes.
        registry: the available clients.
        sampling: which of them take part in a round.
        step: the aggregation step.
        seed: the study's.
        grouping: groups of clients that get one message.
        part: returns the part of the exchanged weights that is trained in a round; other changes are ignored.
        batchnorm: the policy of BatchNorm statistics. "moments": clients measure them on all of their images after
            training, and the server averages moments; otherwise each sends its moving statistics, and the server
            averages those; "shared": only those of clients that changed them.
    """

    settings: FederationSettings
    poisoning: Poisoning
    layout: Layout
    problem: Problem
    registry: ClientRegistry
    sampling: Sampling
    step: AggregationStep
    seed: int
    grouping: Grouping = field(default_factory=Grouping)
    part: Callable[[int], Part | None] = whole
    batchnorm: str = "average"

    @property
    def moments(self) -> bool:
        """Whether clients measure statistics on all of their images, and the server averages moments."""
        return self.batchnorm == "moments"

    def messages(
        self, round: int, weights: Weights, sampled: Sequence[int], memory: Memory = NOTHING
    ) -> list[Message]:
        """Return one message for every client or group of clients that replies, by descending number of images.

        A message holds the global weights, the number of the round, the problem, the clients of a group, and the part
        of the algorithm's state in `memory` that clients need.
        """
        config = {"round": round, **problem_config(self.problem, self.layout.frozen, self.layout.network)}
        if self.moments:
            config["batchnorm"] = "moments"
        record = weights_record(weights)
        alone = RecordDict({"weights": record, "config": ConfigRecord(config)})
        if broadcast := broadcast_by(self.step.algorithm, memory_of(memory, "algorithm")):
            alone["algorithm"] = arrays_record(broadcast)
        messages = []
        for group in self.groups(round, self.sampling.replying(round, sampled)):
            kind, content = MessageType.TRAIN, alone
            if len(group) > 1:
                kind = TOGETHER
                content = RecordDict(
                    {"weights": record, "config": ConfigRecord({**config, "clients": group})}
                )
            messages.append(Message(content, self.registry.node(group[0]), kind, group_id=str(round)))
        return messages

    def groups(self, round: int, sampled: Sequence[int]) -> list[list[int]]:
        """Return the `sampled` clients in groups that get one message, by descending number of images."""
        return self.grouping.groups(round, self.registry.largest_first(list(sampled)))

    def aggregate(
        self,
        round: int,
        current: Weights,
        sampled: Sequence[int],
        replies: Iterable[Message],
        memory: Memory,
    ) -> Aggregated:
        """Return the next global weights from the valid replies.

        `replies` may be an iterator that waits for them, in any order; each is read on arrival and not kept. There are
        no weights if fewer than ``federation.min-replies`` of the sampled clients send valid replies, or if the rule
        fails on them. This holds with and without attackers.

        Args:
            round: from 1.
            current: the global weights that the clients were sent.
            sampled: clients of the round.
            replies: the clients' replies.
            memory: state of rules and server optimiser after the last accepted round; it is not changed.

        Raises:
            AttackFailedError: a malicious client failed because of the attack's own code, and
                ``poisoning.on-failure`` is "stop".
        """
        step, asked = self.step, self.sampling.replying(round, sampled)
        dropped = [Failure(client, DROPPED) for client in sampled if client not in asked]
        arrival = Arrival(step.postprocessors, memory)
        collector = collector_for(
            step.defence,
            current,
            sum(step.beside.values()),
            asked,
            float(np.median(self.registry.sizes)),
            step.measured,
            arrival,
        )
        read = self._collected(round, current, asked, replies, collector, arrival)
        failures = [*read.unexpected, *read.rejected, *read.failed, *dropped]
        outcome = outcome_of(len(sampled), read.valid, failures)
        attackers = step.attackers(round, asked)
        lost = sorted(
            (failure for failure in read.failed if failure.client_id in attackers),
            key=lambda each: each.client_id,
        )
        out = [failure.client_id for failure in read.rejected]
        if step.measured:
            outcome = replace(outcome, defence=step.record(round, asked, out, lost))
        self._stop_for(round, lost, outcome)
        # Poisson sampling may draw nobody: the sum of no updates, which a privacy mechanism hides like any other.
        nobody = self.settings.sampling == "poisson" and not sampled
        fewest = 2 if step.sums else 1  # the sum of one client is its update
        needed = 0 if nobody else max(fewest, math.ceil(self.settings.min_replies * len(sampled)))
        if len(read.valid) < needed:
            return Aggregated(
                outcome,
                None,
                fault=f"round {round}: {len(read.valid)} of {len(sampled)} sampled clients are left, "
                f"federation.min-replies = {self.settings.min_replies} asks for {needed}; "
                f"{first_reason(outcome.failures)}",
            )
        # Values of 3e38 may overflow; results that are not finite are rejected below.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                result = self._unchanged(current) if nobody else collector.result()
                replied = [note.client_id for note in read.valid]
                received = received_of(step, self.registry, self.settings.clients, replied)
                stepped = step.next_weights(round, current, result, memory, out, lost, arrival, received)
            except RuleError as error:
                return Aggregated(
                    outcome,
                    None,
                    fault=f"round {round}: the rule can make nothing of the replies: {error}",
                )
        # Of a sum there is no more to record than who was in it.
        shown = step.record(round, asked, out, lost) if step.sums and step.malicious else stepped.record
        outcome = replace(outcome, defence=shown)
        self._stop_for(round, stepped.attack_failures, outcome)
        # Noise, colluding clients or a server optimiser may change frozen weights.
        found = as_statistics(stepped.weights, self.layout) if self.moments else stepped.weights
        weights = self._postprocessed(round, self.trained_only(round, found, current))
        return Aggregated(outcome, weights, stepped.memory, stepped.fault)

    def _unchanged(self, current: Weights) -> Weights:
        """Return the mean of no clients: the weights that they would have been sent."""
        beside = np.zeros(sum(self.step.beside.values()), np.float32)
        return Weights(current.trainable, np.concatenate([current.statistics, beside]))

    def models(
        self, round: int, current: Weights, sampled: Sequence[int], replies: Iterable[Message]
    ) -> tuple[tuple[Weights, ...], str]:
        """Return the models in all valid replies, by client, and the sentence on the first failure."""
        collector, asked = ClientModels(), self.sampling.replying(round, sampled)
        read = self._collected(round, current, asked, replies, collector)
        found = [alone(sent, self.step.beside) for sent in collector.sent()]
        failures = [*read.unexpected, *read.rejected, *read.failed]
        models = [as_statistics(one, self.layout) for one in found] if self.moments else found
        return tuple(models), first_reason(failures) if failures else ""

    def trained_only(self, round: int, new: Weights, old: Weights) -> Weights:
        """Return `new` where it is trained in `round`, and `old` where it is frozen."""
        part = self.part(round)
        return new if part is None else part.only(new, old)

    def _postprocessed(self, round: int, weights: Weights) -> Weights:
        """Return the model after the postprocessors, which see what is trained in `round`, without statistics."""
        if not changes_models(self.step.postprocessors):
            return weights
        part = self.part(round)
        places = slice(None) if part is None else part.trainable
        seed = self.seed if self.step.noise_seed is None else self.step.noise_seed
        draw = generator(seed, Purpose.MODEL_NOISE, round)
        trainable = weights.trainable.copy()
        trainable[places] = on_model(self.step.postprocessors, trainable[places], round, draw)
        return Weights(trainable, weights.statistics)

    def _collected(
        self,
        round: int,
        current: Weights,
        sampled: Sequence[int],
        replies: Iterable[Message],
        collector: Collector,
        arrival: Arrival | None = None,
    ) -> RoundReplies:
        """Read every reply on arrival, and add valid ones to `collector`, as `arrival` takes them."""
        read, waiting = RoundReplies(), set(sampled)
        promised = promise_of(self.step.postprocessors) is not None
        groups = {group[0]: group for group in self.groups(round, sampled) if len(group) > 1}
        for message in replies:
            client = self.registry.client_of(message.metadata.src_node_id)
            if client is None or client not in waiting:
                read.unexpected.append(Failure(-1 if client is None else client, "it answered unasked"))
                continue
            if client in groups:
                answers = read_group(message, groups[client], self.layout, round)
            else:
                answers = [self._read(message, client, round)]
            for answer in answers:
                waiting.remove(answer.client_id)
                if answer.client_id != client:  # the grid has emitted the event of the first client
                    emit(ClientReplied(self.registry.node(answer.client_id), failure_of(answer)))
                if isinstance(answer, Failure):
                    (read.failed if message.has_error() else read.rejected).append(answer)
                    continue
                weights = self.trained_only(round, answer.weights, current)
                shared = self.batchnorm == "shared"
                measured = not (shared and np.array_equal(weights.statistics, current.statistics))
                if self.moments:
                    weights = as_moments(weights, self.layout)
                averaged = replace(answer, weights=weights).averaged
                if arrival is not None:
                    averaged = arrival.sent(averaged, current)
                collector.add(answer.client_id, averaged, answer.examples, answer.loss, measured)
                # With a promise only malicious clients tell a loss.
                loss = math.nan if promised else answer.loss
                read.valid.append(ReplyNote(answer.client_id, answer.examples, loss, answer.seconds))
        read.failed += [Failure(client, "no reply in time") for client in waiting]
        return read

    def _read(self, message: Message, client: int, round: int) -> Reply | Failure:
        """Return a client's reply, or the failure that drops it."""
        checked, sums = self.settings.claims == "checked", self.step.sums
        most = self.registry.size(client) if checked and not sums else MOST_EXAMPLES
        answer = read_reply(message, client, self.layout, round, most, self.step.beside, sums)
        if isinstance(answer, Failure) or sums:
            return answer
        fault = statistics_fault(answer.weights.statistics, self.layout) or beside_fault(answer.beside)
        return Failure(client, fault, numbers=True) if fault else answer

    def _stop_for(self, round: int, failures: Sequence[Failure], outcome: RoundOutcome) -> None:
        """Stop the study if an attack failed: a crash must not count as a success of the defence.

        Raises:
            AttackFailedError: it failed, and ``poisoning.on-failure`` is "stop".
        """
        if not failures or self.poisoning.on_failure == "mark":
            return
        raise AttackFailedError.of(round, failures, self.poisoning.attack, outcome)
