"""From the clients of a round to the next global weights: the coalition, the defence, the server's optimiser."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from fedrobust.aggregation import Aggregation, Cohort, Defence, StreamingRule, Updates, coordinate_median
from fedrobust.config import Experiment
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Conspiracy, attacks_in
from fedrobust.randomness import Purpose, generator
from fedrobust.study import (
    attack_of,
    defence_of,
    malicious_of,
    server_optimizer_of,
    tolerated_of,
)
from server.collector import Collected

Root = Callable[[Weights, int, int], np.ndarray]
"""``root(current, images, round)``: the update (parameters,) that the server computes on images of its own."""


@dataclass(frozen=True, eq=False)
class Defended:
    """What a round came to.

    Attributes:
        weights: the next global weights.
        record: the round's ``defence`` in ``result.json``; None where a plain mean was taken of honest clients.
    """

    weights: Weights
    record: Mapping[str, Any] | None


class Defender:
    """Turns the clients of a round into the next global weights, and remembers what rules want to find again.

    Args:
        experiment: the study.
        root: the server's own update.
        rare: partitions of honest hospitals whose patients are unlike the others'.
    """

    def __init__(self, experiment: Experiment, root: Root, rare: Collection[int] = ()):
        self.experiment = experiment
        self.defence = defence_of(experiment)
        self.attack = attack_of(experiment)
        self.malicious = frozenset(malicious_of(experiment))
        self.optimizer = server_optimizer_of(experiment)
        self.memory: Mapping[str, np.ndarray] = {}
        self._root = root
        self._rare = frozenset(rare)

    @property
    def measured(self) -> bool:
        """Whether all of a round's updates are kept to be looked at."""
        return bool(self.malicious)

    def next_weights(
        self, round: int, current: Weights, collected: Weights | Collected, refused: Collection[int] = ()
    ) -> Defended:
        """Return the global weights after `round`.

        Args:
            round: from 1.
            current: the global weights that the clients were sent.
            collected: their mean weights, or the clients.
            refused: clients whose replies did not pass the checks.
        """
        if isinstance(collected, Weights):
            if self.optimizer is None:
                return Defended(collected, None)
            trainable = self._stepped(round, current, collected.trainable - current.trainable)
            return Defended(Weights(trainable, collected.statistics), None)
        defence = self.defence.among(len(collected.partitions))
        cohort = self._cohort(round, current, collected)
        bad = np.isin(collected.partitions, sorted(self.malicious))
        active = attacks_in(self.experiment.poisoning, round)
        if active and self.attack.conspires and bad.any() and not bad.all():
            self._conspire(round, defence, cohort, collected.updates, bad)
        honest_mean = _mean(collected.updates, ~bad)
        started = time.perf_counter()
        aggregation = defence(Updates(collected.updates), cohort)
        seconds = time.perf_counter() - started
        self._remember("rule", aggregation.memory)
        record = {
            "rule": self.experiment.federation.aggregator,
            "before": list(self.experiment.federation.pre_aggregators),
            "tolerated": defence.tolerated,
            "attacked": active and bool(bad.any()),
            "seconds": seconds,
            "bytes": int(collected.updates.nbytes),
            **self._figures(aggregation, collected.partitions, bad, refused, honest_mean),
        }
        statistics = self._statistics(defence, aggregation, collected)
        return Defended(Weights(self._stepped(round, current, aggregation.update), statistics), record)

    def _cohort(self, round: int, current: Weights, collected: Collected) -> Cohort:
        seed = self.experiment.seed
        return Cohort(
            collected.partitions,
            collected.examples,
            round,
            generator(seed, Purpose.AGGREGATION, round),
            seed,
            self._remembered("rule"),
            current.trainable,
            # A coalition tries the defence out many times: the server's own update is computed once.
            cache(lambda images: self._root(current, images, round)),
        )

    def _conspire(
        self, round: int, defence: Defence, cohort: Cohort, updates: np.ndarray, bad: np.ndarray
    ) -> None:
        """Put what the coalition sends into the rows of its members."""
        own, honest = updates[bad].copy(), Updates(updates[~bad])

        def outcome(sent: np.ndarray) -> np.ndarray:
            updates[bad] = sent
            # The attackers know the defence, not what it draws.
            guess = replace(cohort, generator=generator(self.experiment.seed, Purpose.POISONING, round))
            return defence(Updates(updates), guess).update

        tolerated = defence.tolerated
        scene = Conspiracy(
            Updates(own),
            len(updates),
            tolerated_of(self.experiment) if tolerated is None else tolerated,
            generator(self.experiment.seed, Purpose.POISONING, round),
            outcome,
        )
        updates[bad] = np.nan_to_num(self.attack.coalition(honest, scene))

    def _figures(
        self,
        aggregation: Aggregation,
        partitions: np.ndarray,
        bad: np.ndarray,
        refused: Collection[int],
        honest_mean: np.ndarray | None,
    ) -> dict[str, Any]:
        caught = [partition for partition in refused if partition in self.malicious]
        shown: dict[str, Any] = {
            "malicious": sorted({int(partition) for partition in partitions[bad]} | set(caught)),
            "accepted": None,
            "influence": None,
            "malicious-influence": None,
            "true-positive-rate": None,
            "false-positive-rate": None,
            "rare": sorted(set(partitions[~bad].tolist()) & self._rare),
            "rare-false-positive-rate": None,
            "distance": None,
            "honest-norm": None,
        }
        if honest_mean is not None:
            apart = aggregation.update.astype(np.float64) - honest_mean
            shown["distance"] = _finite(np.linalg.norm(apart))
            shown["honest-norm"] = _finite(np.linalg.norm(honest_mean.astype(np.float64)))
        influence = aggregation.influence
        if influence is None:
            return shown
        accepted = influence > 0
        rare = np.isin(partitions, shown["rare"])
        shown["accepted"] = partitions[accepted].tolist()
        shown["influence"] = [round(float(share), 6) for share in influence]
        if bad.any() or caught:
            shown["malicious-influence"] = float(influence[bad].sum())
            left_out = int((~accepted & bad).sum()) + len(caught)
            shown["true-positive-rate"] = left_out / (int(bad.sum()) + len(caught))
        shown["false-positive-rate"] = _share(~accepted, ~bad)
        shown["rare-false-positive-rate"] = _share(~accepted, rare)
        return shown

    def _statistics(self, defence: Defence, aggregation: Aggregation, collected: Collected) -> np.ndarray:
        """Return the next BatchNorm statistics.

        A mean of weights comes with the mean of statistics. A rule that tolerates an attacker is of no use with
        statistics that do not: it gets the median of each, among the clients that it accepted.
        """
        if isinstance(defence.rule, StreamingRule) and not defence.before:
            typical = float(np.median(collected.examples))
            mean = defence.rule.start(collected.statistics.shape[1])
            for row, claim in zip(collected.statistics, collected.examples, strict=True):
                mean.add(row, defence.rule.weight(int(claim), typical))
            return mean.result()
        influence = aggregation.influence
        rows = None if influence is None or not influence.any() else np.flatnonzero(influence > 0)
        return coordinate_median(collected.statistics, rows)

    def _stepped(self, round: int, current: Weights, update: np.ndarray) -> np.ndarray:
        if self.optimizer is not None:
            update, memory = self.optimizer(update, self._remembered("optimizer"), round)
            self._remember("optimizer", memory)
        return current.trainable + update

    def _remembered(self, whose: str) -> dict[str, np.ndarray]:
        start = f"{whose}/"
        return {
            name.removeprefix(start): array for name, array in self.memory.items() if name.startswith(start)
        }

    def _remember(self, whose: str, memory: Mapping[str, np.ndarray]) -> None:
        others = {name: array for name, array in self.memory.items() if not name.startswith(f"{whose}/")}
        self.memory = {**others, **{f"{whose}/{name}": np.asarray(array) for name, array in memory.items()}}


def _mean(updates: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    count = int(rows.sum())
    return Updates(updates).combined(rows / count) if count else None


def _share(left_out: np.ndarray, among: np.ndarray) -> float | None:
    return float((left_out & among).sum() / among.sum()) if among.any() else None


def _finite(number: np.floating[Any]) -> float | None:
    return float(number) if np.isfinite(number) else None
