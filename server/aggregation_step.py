"""The aggregation step: collusion, aggregation pipeline, algorithm, server optimiser."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from fedrobust.aggregation import (
    Aggregation,
    AggregationContext,
    AggregationPipeline,
    Memory,
    ServerOptimizer,
    Updates,
)
from fedrobust.aggregation.answers import ModelAnswers
from fedrobust.algorithms import Algorithm, FedAvg
from fedrobust.algorithms.contract import Received
from fedrobust.errors import own_line, told
from fedrobust.models.layout import Layout, Weights
from fedrobust.poisoning import Attack, Schedule
from fedrobust.privacy import Counted, Postprocessor
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.record import DefenceRecord
from server.accumulators import Collected, parted
from server.aggregate_change import AggregateChange
from server.arrival import Arrival
from server.batchnorm_statistics import next_statistics
from server.collusion import collude, from_outside
from server.detection import claims_of, figures_of, mean_of
from server.errors import BrokenRuleError, RuleError
from server.memories import memory_of, with_memory
from server.moments import statistics_of
from server.replies import Failure
from server.root_update import RootUpdate
from server.step_result import StepResult


@dataclass(frozen=True, eq=False)
class AggregationStep:
    """The function from the updates of a round to the next global weights; it has no state of its own.

    Attributes:
        defence: pre-aggregators and rule.
        tolerated: number of malicious clients in a round that are tolerated (f).
        optimizer: the server optimiser; None: the aggregate is added as it is.
        attack: the poisoning attack; colluding clients act here, where the updates are known.
        schedule: malicious clients, and the rounds in which they attack.
        seed: the study's.
        root: computes the server's own update.
        rare: honest clients with an unusual class distribution.
        names: the rule and the pre-aggregators as written in the study.
        algorithm: its server side is applied to the aggregate before the server optimiser.
        postprocessors: applied to the aggregate before the algorithm.
        beside: lengths of the algorithm's arrays that clients send beside weights, by name.
        layout: of the global model, for rules that look at layers.
        answers: returns the answers of models near the global one, for rules that ask models; None: there are none.
        moments: whether clients' variances are second moments when they are aggregated, see `server.moments`.
        secret: whether noise and sampling come from the system's randomness: with a promise of privacy in a deployment,
            where the study's seed is known to every site.
        sums: whether the server sees only sums of updates.
        objective: returns how good a model is for colluding clients; None where that is not measured.
        surrogate: whether colluding clients know their own updates only.
        noise_seed: of noise on aggregates and models; None: the study's seed.
    """

    defence: AggregationPipeline
    tolerated: int
    optimizer: ServerOptimizer | None
    attack: Attack
    schedule: Schedule
    seed: int
    root: RootUpdate
    rare: frozenset[int] = frozenset()
    names: tuple[str, tuple[str, ...]] = ("mean", ())
    algorithm: Algorithm = field(default_factory=FedAvg)
    postprocessors: tuple[Postprocessor, ...] = ()
    beside: Mapping[str, int] = field(default_factory=dict)
    layout: Layout | None = None
    answers: Callable[[Weights], ModelAnswers] | None = None
    moments: bool = False
    secret: bool = False
    sums: bool = False
    objective: Callable[[], Callable[[Weights], float] | None] = lambda: None
    surrogate: bool = False
    noise_seed: int | None = None

    @property
    def malicious(self) -> frozenset[int]:
        """The clients that attack in some round."""
        return frozenset(self.schedule.malicious)

    @property
    def measured(self) -> bool:
        """Whether all updates of a round are kept, for the record of the defence."""
        return bool(self.schedule.malicious) and not self.sums

    @property
    def change(self) -> AggregateChange:
        """What changes the aggregate before it is added to the weights."""
        return AggregateChange(self.postprocessors, self.algorithm, self.optimizer)

    def attackers(self, round: int, sampled: Collection[int]) -> frozenset[int]:
        """Return which of the `sampled` clients attack in `round`; in other rounds they are honest."""
        return self.schedule.attackers(round, sampled)

    def next_weights(
        self,
        round: int,
        current: Weights,
        collected: Weights | Collected,
        memory: Memory | None = None,
        refused: Collection[int] = (),
        failures: Sequence[Failure] = (),
        arrival: Arrival | None = None,
        received: Received | None = None,
    ) -> StepResult:
        """Return the global weights after `round`.

        Args:
            round: from 1.
            current: the global weights that the clients were sent.
            collected: the clients' mean weights, or all updates.
            memory: state after the last accepted round; it is not changed.
            refused: clients whose replies were rejected.
            failures: malicious clients that failed because of the attack's own code.
            arrival: what is taken in place of each update; a mean's were when they arrived.
            received: how many valid replies there are, and their share; without arrays. None: one of one client.
        """
        memory, arrival, received = memory or {}, arrival or Arrival(), received or Received()
        if isinstance(collected, Weights):
            if not (self.change.acts or self.beside):
                return StepResult(collected, None, memory)
            step = collected.trainable - current.trainable
            statistics, arrays = parted(collected.statistics, self.beside)
            beside = replace(received, arrays=arrays)
            taken = arrival.counted if arrival.acts else Counted(received.clients)
            trainable, remembered, fault = self._stepped(round, current, step, memory, beside, taken)
            return StepResult(Weights(trainable, statistics), None, remembered, fault)
        defence = self.defence.among(len(collected.client_ids))
        context = self._context(round, current, collected, memory)
        attackers = self.attackers(round, collected.client_ids.tolist())
        bad = np.isin(collected.client_ids, sorted(attackers))
        conspired: tuple[Failure, ...] = ()
        acted = True
        if self.attack.colludes and bad.any():
            own = collected.updates[bad]
            conspired, memory = self._collude(
                defence, context, collected, bad, current, memory, arrival, received
            )
            acted = bool(conspired) or not np.array_equal(own, collected.updates[bad])
        if arrival.acts:
            collected = replace(collected, updates=arrival.matrix(collected.updates))
        failures = (*failures, *conspired)
        honest_mean = mean_of(collected.updates, claims_of(defence, context) * ~bad)
        begun = self.record(round, [*collected.client_ids.tolist(), *refused], refused, failures)
        record = replace(
            begun,
            tolerated=defence.tolerated,
            attacked=begun.attacked and acted,
            bytes=int(collected.updates.nbytes),
            partitions=tuple(collected.client_ids.tolist()),
        )
        started = time.perf_counter()
        try:
            aggregation = defence(Updates(collected.updates), context)
        except (ValueError, ArithmeticError) as error:
            # A client may have sent numbers on which the rule fails; it must not end the study.
            raise RuleError(f"{self.names[0]}: {told(error)}") from error
        except (Exception, SystemExit) as error:
            if not own_line(error):
                raise
            raise BrokenRuleError(f"{self.names[0]}: the rule's own code fails: {told(error)}") from error
        record = replace(record, seconds=time.perf_counter() - started)
        if not failures:
            caught = len(self.attackers(round, refused))
            rare = self.rare - self.malicious
            shown = figures_of(defence, aggregation, collected.client_ids, bad, caught, rare, honest_mean)
            record = replace(record, **shown)
        statistics, arrays = parted(
            next_statistics(defence, aggregation, collected, current.statistics), self.beside
        )
        beside = replace(received, arrays=arrays)
        remembered = with_memory(memory, "rule", aggregation.memory)
        taken = arrival.counted if arrival.acts else Counted(received.clients)
        trainable, remembered, fault = self._stepped(
            round, current, aggregation.update, remembered, beside, taken
        )
        return StepResult(Weights(trainable, statistics), record, remembered, fault, conspired)

    def record(
        self, round: int, sampled: Collection[int], refused: Collection[int], failures: Sequence[Failure]
    ) -> DefenceRecord:
        """Return the part of the round's ``defence`` in ``result.json`` that does not depend on the rule's result.

        Fields that do not apply are None, not 0.

        Args:
            round: from 1.
            sampled: the sampled clients.
            refused: clients whose replies were rejected.
            failures: malicious clients that failed because of the attack's own code: the round is then invalid as a
                measurement of the defence.
        """
        malicious = self.malicious.intersection([*sampled, *(failure.client_id for failure in failures)])
        rare = self.rare.intersection(sampled) - self.malicious - set(refused)
        return DefenceRecord(
            rule=self.names[0],
            before=tuple(self.names[1]),
            tolerated=self.defence.tolerated,
            attacked=bool(self.attackers(round, malicious)),
            valid=not failures,
            attack_failures=tuple(failure.record() for failure in failures),
            malicious=tuple(sorted(malicious)),
            refused=tuple(sorted(malicious.intersection(refused))),
            rare=tuple(sorted(rare)),
        )

    def _context(
        self, round: int, current: Weights, collected: Collected, memory: Memory
    ) -> AggregationContext:
        return AggregationContext(
            collected.client_ids,
            collected.examples,
            round,
            generator(self.seed, Purpose.AGGREGATION, round),
            self.seed,
            memory_of(memory, "rule"),
            current.trainable,
            # Colluding clients evaluate the defence many times: the server's own update is computed once.
            cache(lambda images: self.root(current, images, round, collected.typical)),
            collected.losses,
            self.layout,
            self._statistics(collected, len(current.statistics)),
            current.statistics,
            None if self.answers is None else self.answers(current),
            collected.typical,
        )

    def _statistics(self, collected: Collected, size: int) -> np.ndarray | None:
        """Return the clients' BatchNorm statistics (n, size); None where the layout is not known."""
        if self.layout is None:
            return None
        sent = collected.statistics[:, :size]
        return statistics_of(sent, self.layout) if self.moments else sent

    def _collude(
        self,
        defence: AggregationPipeline,
        context: AggregationContext,
        collected: Collected,
        bad: np.ndarray,
        current: Weights,
        memory: Memory,
        arrival: Arrival,
        received: Received,
    ) -> tuple[tuple[Failure, ...], Memory]:
        """Replace the rows of the colluding clients by their updates; return failures and the next memory."""

        def aggregate(draw: np.random.Generator) -> Aggregation:
            taken = arrival.matrix(collected.updates) if arrival.acts else collected.updates
            return defence(Updates(taken), replace(context, generator=draw))

        def change(aggregation: Aggregation, draw: np.random.Generator) -> tuple[np.ndarray, str]:
            beside = next_statistics(defence, aggregation, collected, current.statistics)
            sent = replace(received, arrays=parted(beside, self.beside)[1])
            taken = arrival.counted if arrival.acts else Counted(received.clients)
            return self.change(context.round, aggregation.update, memory, sent, draw, taken)[::2]

        context = from_outside(context) if self.surrogate else context
        objective = self.objective()

        def value(changed: np.ndarray) -> float:
            assert objective is not None
            return objective(Weights((current.trainable + changed).astype(np.float32), current.statistics))

        tolerated = self.tolerated if defence.tolerated is None else defence.tolerated
        # The attackers know the defence, not its random numbers.
        return collude(
            self.attack,
            collected,
            bad,
            tolerated,
            lambda: generator(self.seed, Purpose.POISONING, context.round),
            aggregate,
            change,
            None if objective is None else value,
            self.surrogate,
            memory,
        )

    def _stepped(
        self,
        round: int,
        current: Weights,
        update: np.ndarray,
        memory: Memory,
        received: Received,
        taken: Counted,
    ) -> tuple[np.ndarray, Memory, str]:
        """Return the next trainable weights, the next state, and why both are unusable ("" if they are usable)."""
        seed = self.seed if self.noise_seed is None else self.noise_seed
        draw = np.random.default_rng() if self.secret else generator(seed, Purpose.POSTPROCESSING, round)
        change, memory, fault = self.change(round, update, memory, received, draw, taken)
        return current.trainable + change, memory, fault
