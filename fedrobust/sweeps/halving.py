"""Successive halving: the best part of a sweep's cells goes on after some rounds, by the validation split.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedrobust.config import ConfigError, Experiment
from fedrobust.registry import did_you_mean
from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.values import flattened, of_result

METRICS = ("accuracy", "balanced_accuracy", "auc")
"""Measures of the validation split. Choosing by the test split would flatter what is chosen."""

APART = ("name", "seed")
"""Settings in which cells of one candidate may differ: seeds of a candidate are judged together."""

GIVEN = ("data.", "poisoning.")
"""Settings of the problem: candidates are compared where these are equal."""


@dataclass(frozen=True)
class Halving:
    """The table ``[sweep.halving]``.

    Attributes:
        rounds: after each of these, the best part of the candidates goes on.
        metric: of the validation split, one of `METRICS`; more is better.
        keep: this part of them, rounded up; at least one candidate goes on.
    """

    rounds: tuple[int, ...]
    metric: str = "balanced_accuracy"
    keep: float = 0.5

    @classmethod
    def of(cls, table: Any) -> "Halving":
        """Return the table as it stands in a sweep file.

        Raises:
            ConfigError: a key is unknown, or a value is not allowed.

        Example:
            >>> Halving.of({"rounds": [2, 4], "metric": "auc"})
            Halving(rounds=(2, 4), metric='auc', keep=0.5)
        """
        known = ("rounds", "metric", "keep")
        if not isinstance(table, Mapping) or set(table) - set(known):
            raise ConfigError(f"sweep.halving = {table!r}: a table with the keys {', '.join(known)}")
        rounds, metric, keep = (
            table.get("rounds", []),
            table.get("metric", cls.metric),
            table.get("keep", cls.keep),
        )
        whole = isinstance(rounds, list | tuple) and all(type(one) is int and one > 0 for one in rounds)
        if not whole or not rounds or list(rounds) != sorted(set(rounds)):
            raise ConfigError(f"sweep.halving.rounds = {rounds!r}: rounds from 1, ascending, such as [2, 4]")
        if metric not in METRICS:
            hint = did_you_mean(str(metric), METRICS) or ";"
            raise ConfigError(
                f"sweep.halving.metric = {metric!r}{hint} allowed, of the validation split: {', '.join(METRICS)}"
            )
        if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep < 1:
            raise ConfigError(f"sweep.halving.keep = {keep!r}: a share above 0 and below 1")
        return cls(tuple(rounds), str(metric), float(keep))

    def check(self, study: Experiment) -> None:
        """Check that a study measures the validation split in these rounds, and goes on after them.

        Raises:
            ConfigError: it does not.
        """
        evaluation, rounds = study.evaluation, study.federation.rounds
        if not (evaluation.validation or evaluation.select == "best"):
            raise ConfigError(
                "sweep.halving: cells are judged by the validation split, which is not measured: set "
                "evaluation.validation = true"
            )
        for one in self.rounds:
            if one % evaluation.every or one >= rounds:
                raise ConfigError(
                    f"sweep.halving.rounds = {list(self.rounds)}: round {one} is not measured, or the last: allowed: "
                    f"multiples of evaluation.every = {evaluation.every} below federation.rounds = {rounds}"
                )

    def survivors(
        self, cells: Sequence[Cell], score: Callable[[Cell], float | None]
    ) -> tuple[list[Cell], dict[str, str]]:
        """Return the cells that go on, and why the others do not, by their hash.

        Args:
            cells: those that are left.
            score: of a cell after the round; None where it failed or was not measured: it does not go on.
        """
        known = {cell.hash: score(cell) for cell in cells}
        problems: dict[str, dict[str, list[Cell]]] = {}
        for cell in cells:
            candidates = problems.setdefault(settings_of(cell, given=True), {})
            candidates.setdefault(settings_of(cell, given=False), []).append(cell)
        on: set[str] = set()
        dropped: dict[str, str] = {}
        for candidates in problems.values():
            means = {
                name: sum(values) / len(values)
                for name, group in candidates.items()
                if (values := [one for cell in group if (one := known[cell.hash]) is not None])
            }
            order = sorted(means, key=lambda name: -means[name])
            most = max(1, math.ceil(self.keep * len(candidates)))
            for place, name in enumerate(order):
                for cell in candidates[name]:
                    if place < most and known[cell.hash] is not None:
                        on.add(cell.hash)
                    elif known[cell.hash] is not None:
                        rank = f"place {place + 1} of {len(candidates)}; {most} went on"
                        words = f"{self.metric.replace('_', ' ')} {means[name]:.3f}"
                        dropped[cell.hash] = f"{words} on validation images, {rank}"
        return [cell for cell in cells if cell.hash in on], dropped


def settings_of(cell: Cell, given: bool) -> str:
    """Return a cell's settings of the problem, or the others, as text; see `GIVEN`."""
    values = {
        key: value
        for key, value in of_result(flattened(cell.experiment.to_dict())).items()
        if key not in APART and key.startswith(GIVEN) == given
    }
    return json.dumps(values, sort_keys=True, default=str)


def score_after(run: RunRecord | None, round: int, metric: str) -> float | None:
    """Return a run's score on the validation split after a round, None if it was not measured.

    A run that has finished before it, since its model no longer improved, has the score of its last measured round.
    """
    found = None
    for one in run.rounds if run else ():
        if one.validation is None or one.round > round:
            continue
        if one.round == round or (run and run.status == "finished" and run.rounds[-1].round < round):
            found = one.validation.score(metric)
    return found


def reached(run: RunRecord | None, round: int) -> bool:
    """Return whether a run has finished a round.

    Example:
        >>> run = RunRecord.read({"schema": 1, "status": "stopped", "rounds": [{"round": 1}, {"round": 2}]})
        >>> reached(run, 2), reached(run, 3), reached(None, 1)
        (True, False, False)
    """
    return run is not None and bool(run.rounds) and run.rounds[-1].round >= round
