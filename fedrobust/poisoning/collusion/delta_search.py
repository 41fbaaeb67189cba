"""Delta search: the largest step towards the attacker's goal that the server's whole pipeline lets through."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count, Positive
from fedrobust.poisoning.collusion.line import Line, Trial, beside
from fedrobust.poisoning.collusion.statistics import mean_and_deviation
from fedrobust.poisoning.context import CollusionContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.vectors import inner, length

SPREADS = (1.0, 4.0, 16.0, 64.0)
"""Deviations that are tried first, in multiples of the honest updates' median distance to their mean."""

REVERSED = (1.0, 4.0)
"""Multiples of the members' own updates that are tried with the opposite sign, as `sign-flip` sends them."""

DEVIATIONS = (1.5, 6.0)
"""Standard deviations from the mean that are tried first, as ALIE and the attacks of Fang et al. send them."""


@dataclass(frozen=True, eq=False)
class Goal:
    """The goal of an attacker in a round.

    Attributes:
        direction: unit vector (d,) float32 from the honest mean to the goal.
        distance: of the goal from the honest mean.
        bounded: whether the goal is a point, beyond which nothing is gained; else only the direction counts.
    """

    direction: np.ndarray
    distance: float
    bounded: bool

    @classmethod
    def of(cls, vector: np.ndarray, bounded: bool) -> "Goal":
        """Return the goal at the difference `vector` (d,) from the honest mean."""
        distance = length(vector)
        return cls(np.asarray(vector / (distance or 1.0), np.float32), distance, bounded)

    def reached(self, change: np.ndarray) -> float:
        """Return how far `change` (d,) goes towards the goal, less what it goes beyond; -inf if it is not finite.

        Example:
            >>> towards = np.array([3.0, 0.0], np.float32)
            >>> [Goal.of(towards, True).reached(np.array([x, 7.0])) for x in (2.0, 3.0, 5.0)]
            [2.0, 3.0, 1.0]
            >>> Goal.of(towards, False).reached(np.array([5.0, 7.0]))
            5.0
        """
        far = inner(change, self.direction)
        if not np.isfinite(far):
            return -np.inf
        return min(far, 2 * self.distance - far) if self.bounded else far


@POISONING.register("delta-search")
@dataclass(frozen=True, kw_only=True)
class DeltaSearch:
    """Search the update that serves the attackers best after the whole defence, whatever it is (adaptive attack).

    The attacker of Fenaux et al. (2025, arXiv:2509.08089) knows honest updates, aggregation rule and its settings, and
    chooses its deviation from the honest mean by them; the search is this project's. Malicious clients send points of
    some lines: the honest mean plus a deviation towards a goal, either all the same, or each with differences as
    between honest updates; multiples of their own updates; and, without another attack, the lines of `sign-flip`, of
    ALIE and of Fang et al. Each trial runs the server's whole pipeline, with the memory of its rule and the server's
    step. First some points of each line are tried, then the gaps beside the best one are halved. If no trial is better
    than sending the honest mean, that is sent. The search is greedy: a rule that excludes clients after some rounds may
    exclude these.

    Trials are judged by the trained weights that the server would have, with BatchNorm statistics of the attackers' own
    images where the study measures them anew in each round, else those of before the round: by the loss on at most 256
    of these images, for a backdoor by the log-probabilities of the target class with the trigger and of the true class
    without it. With ``judge="distance"``, and where there are no
    such images (`CollusionContext.value`), they are judged by how far the global weights move towards the goal.

    Behind another attack, the goal is what that one makes of the members' updates, on average:
    ``"pixel-backdoor + delta-search"`` replaces the global model by the backdoored one as far as it can, and
    ``"gaussian + delta-search"`` moves it in random directions.

    Attributes:
        goal: ``own``: the mean of the members' own updates, which an attack before it made; alone, or with
            ``against-mean``: minus the honest mean, as far as possible.
        judge: ``loss`` or ``distance``.
        evaluations: most evaluations of the pipeline in a round.
        most: largest deviation, in multiples of the honest updates' median distance to their mean.

    Example:
        >>> honest = Updates.of(np.array([[1, 0], [1, 1], [1, 2]], np.float32))
        >>> def median(sent):
        ...     return np.median(np.vstack([np.asarray(honest), np.broadcast_to(sent, (2, 2))]), axis=0)
        >>> own = Updates.of(np.array([[1, 9], [1, 9]], np.float32))
        >>> context = CollusionContext(own, 5, 2, np.random.default_rng(0), median, poisoned=True)
        >>> median(DeltaSearch().collude(honest, context)).tolist()
        [1.0, 2.0]
    """

    goal: Literal["own", "against-mean"] = "own"
    judge: Literal["loss", "distance"] = "loss"
    evaluations: Count = 20
    most: Positive = 64.0

    probes = True

    @property
    def uses_own(self) -> bool:
        """Whether what members learnt decides what is sent."""
        return self.goal == "own"

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return the updates of the malicious clients, (d,) or (malicious, d)."""
        mean = honest.combined(np.full(len(honest), 1 / len(honest)))
        towards_own = self.uses_own and context.poisoned
        own = np.asarray(context.own)
        middle = own.mean(0, dtype=np.float64)
        goal = Goal.of((middle - mean).astype(np.float32) if towards_own else -mean, towards_own)
        if not goal.distance:
            return mean
        # Where the server would reject even the honest mean, trials count from no change.
        idle = np.nan_to_num(changed(context, mean))
        score: Callable[[np.ndarray], float] = lambda change: goal.reached(change - idle)  # noqa: E731
        judged = context.value is not None and self.judge == "loss"
        if context.value is not None and judged:
            score = context.value
        least = score(idle)
        lines = self._lines(honest, mean, goal, context, judged)
        scores: dict[Trial, float] = {}
        for trial in first_trials(lines):
            if len(scores) < self.evaluations - 1:
                scores[trial] = score(changed(context, lines[trial[0]].at(trial[1])))
        for _ in range(self.evaluations - 1 - len(scores)):
            trial = beside(scores, least)
            scores[trial] = score(changed(context, lines[trial[0]].at(trial[1])))
        # Of equal ones the smallest step.
        best = max(scores, key=lambda one: (scores[one], -one[1]), default=None)
        return mean if best is None or scores[best] <= least else lines[best[0]].at(best[1])

    def _lines(
        self, honest: Updates, mean: np.ndarray, goal: Goal, context: CollusionContext, judged: bool
    ) -> dict[str, Line]:
        """Return the lines that are searched, by name; those of other attacks only where a model is `judged`."""
        own = np.asarray(context.own)
        spread = float(np.median(honest.distances_to(mean))) or goal.distance
        lengths = [spread * min(factor, self.most) for factor in SPREADS]
        whole = context.clients / context.malicious
        if goal.bounded:
            lengths = [goal.distance, whole * goal.distance, *lengths[:-1]]
        else:
            lengths = [1.5 * goal.distance, *(lengths[:-1] if judged else lengths)]
        # Members that learnt what the attack asks for differ from each other as they do; others copy honest clients.
        learnt = goal.bounded and len(own) > 1
        differing = own - own.mean(0, dtype=np.float64) if learnt else differences(honest, mean, len(own))
        steps = tuple(dict.fromkeys(lengths))
        lines = {
            "apart": Line((mean + differing).astype(np.float32), goal.direction, steps),
            "together": Line(mean, goal.direction, steps),
        }
        if not judged:
            return lines
        if goal.bounded:
            # At 1 it is what "apart" has at the goal's distance.
            return {**lines, "own": Line(np.zeros_like(own), own, (whole,))}
        _, deviation = mean_and_deviation(honest)
        lines["reversed"] = Line(np.zeros_like(own), -own, REVERSED)
        lines["deviation"] = Line(mean, -deviation, DEVIATIONS)
        lines["against signs"] = Line(mean, -np.sign(mean) * deviation, DEVIATIONS)
        return lines


def first_trials(lines: dict[str, Line]) -> Iterator[Trial]:
    """Yield the first points of all lines: the first one of each line, the second ones, and so on.

    Example:
        >>> one, other = (Line(np.zeros(1), np.ones(1), steps) for steps in ((1.0, 2.0), (5.0,)))
        >>> list(first_trials({"a": one, "b": other}))
        [('a', 1.0), ('b', 5.0), ('a', 2.0)]
    """
    for place in range(max(len(line.steps) for line in lines.values())):
        for name, line in lines.items():
            if place < len(line.steps):
                yield name, line.steps[place]


def changed(context: CollusionContext, sent: np.ndarray) -> np.ndarray:
    """Return the change of the global weights (d,) float64 if malicious clients send `sent`."""
    step = context.step or context.outcome
    return step(sent).astype(np.float64)


def differences(honest: Updates, mean: np.ndarray, members: int) -> np.ndarray:
    """Return the differences from the `mean` (d,) of the honest updates nearest to it, one for each of the `members`.

    Example:
        >>> honest = Updates.of(np.array([[0], [5], [-1]], np.float32))
        >>> differences(honest, np.zeros(1, np.float32), 2).tolist()
        [[0.0], [-1.0]]
    """
    nearest = np.argsort(honest.distances_to(mean), kind="stable")[:members]
    rows = np.asarray(honest.rows(nearest)) - mean
    return rows[np.arange(members) % len(rows)]
