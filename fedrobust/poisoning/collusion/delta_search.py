"""Delta search: the largest step towards the attacker's goal that the server's whole pipeline lets through."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count, Positive
from fedrobust.poisoning.context import CollusionContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.vectors import inner, length

Shape = Literal["together", "apart"]

SPREADS = (1.0, 4.0, 16.0, 64.0)
"""Deviations that are tried first, in multiples of the honest updates' median distance to their mean."""

NARROW = 1.25
"""Ratio of two deviations from which the gap between them is looked at after others."""


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


@dataclass(frozen=True, eq=False)
class Search:
    """The search for the best update of a round: each step costs one evaluation of the server's pipeline.

    Attributes:
        goal: of the round.
        bases: what malicious clients send at deviation 0, (d,) or (malicious, d), by shape.
        context: of the round.
        idle: the change of the global weights at deviation 0, (d,).
        scores: how far the global weights moved towards the goal, by shape and deviation.
    """

    goal: Goal
    bases: dict[Shape, np.ndarray]
    context: CollusionContext
    idle: np.ndarray
    scores: dict[tuple[Shape, float], float] = field(default_factory=dict)

    def sent(self, shape: Shape, deviation: float) -> np.ndarray:
        """Return what malicious clients send, (d,) or (malicious, d), at a `deviation` (a length) from the mean."""
        return self.bases[shape] + np.float32(deviation) * self.goal.direction

    def tried(self, shape: Shape, deviation: float) -> None:
        """Evaluate the pipeline on such updates."""
        change = changed(self.context, self.sent(shape, deviation))
        self.scores[shape, deviation] = self.goal.reached(change - self.idle)

    @property
    def best(self) -> tuple[Shape, float]:
        """Shape and deviation that reached farthest; of equal ones the smallest deviation."""
        return max(self.scores, key=lambda one: (self.scores[one], -one[1]))

    def next(self) -> tuple[Shape, float]:
        """Return the next trial: a smaller deviation if none helped yet, else one in a gap beside the best.

        The gap above the best comes first, until it is narrow: a rule that rejects large deviations lets through the
        most just below its limit.
        """
        shape, best = self.best
        if self.scores[shape, best] <= 0:
            return shape, min(deviation for each, deviation in self.scores if each == shape) / 4
        others = [deviation for each, deviation in self.scores if each == shape and deviation != best]
        below = max((one for one in others if one < best), default=best / 4)
        above = min((one for one in others if one > best), default=best)
        beside = above if above > NARROW * best or above / best > best / below else below
        return shape, float(np.sqrt(best * beside))


@POISONING.register("delta-search")
@dataclass(frozen=True, kw_only=True)
class DeltaSearch:
    """Search the largest step towards a goal that the defence lets through, whatever the defence (adaptive attack).

    The attacker of Fenaux et al. (2025, arXiv:2509.08089) knows honest updates, aggregation rule and its settings, and
    chooses its deviation from the honest mean by them; the search is this project's. Malicious clients send the honest
    mean plus a deviation towards the goal, either all the same, or each with differences as between honest updates.
    Each trial runs the server's whole pipeline, with the memory of its rule and the server's step, and is judged by how
    far the global weights really move towards the goal, not by acceptance. First a range of deviations is tried, then
    the gaps beside the best one are halved. If no trial moves the weights towards the goal, the honest mean is sent.
    The search is greedy: a rule that excludes clients after several rounds may exclude these.

    Behind another attack, the goal is what that one makes of the members' updates, on average:
    ``"pixel-backdoor + delta-search"`` replaces the global model by the backdoored one as far as it can, and
    ``"gaussian + delta-search"`` moves it in random directions.

    Attributes:
        goal: ``own``: the mean of the members' own updates, which an attack before it made; alone, or with
            ``against-mean``: minus the honest mean, as far as possible.
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
    evaluations: Count = 20
    most: Positive = 64.0

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
        # Members that learnt what the attack asks for differ from each other as they do; others copy honest clients.
        apart = own - middle if towards_own and len(own) > 1 else differences(honest, mean, len(own))
        bases: dict[Shape, np.ndarray] = {"together": mean, "apart": (mean + apart).astype(np.float32)}
        # Where the server would reject even the honest mean, trials count from no change.
        search = Search(goal, bases, context, np.nan_to_num(changed(context, mean)))
        for shape, deviation in self._first(honest, mean, goal, context):
            if len(search.scores) < self.evaluations - 1:
                search.tried(shape, deviation)
        for _ in range(self.evaluations - 1 - len(search.scores)):
            search.tried(*search.next())
        if not search.scores or search.scores[search.best] <= 0:
            return mean
        return search.sent(*search.best)

    def _first(
        self, honest: Updates, mean: np.ndarray, goal: Goal, context: CollusionContext
    ) -> Iterator[tuple[Shape, float]]:
        """Yield the first trials: own updates, model replacement or IPM, and multiples of the honest spread."""
        spread = float(np.median(honest.distances_to(mean))) or goal.distance
        lengths = [spread * min(factor, self.most) for factor in SPREADS]
        if goal.bounded:
            whole = goal.distance * context.clients / context.malicious
            lengths = [goal.distance, whole, *lengths[:-1]]
        else:
            lengths = [1.5 * goal.distance, *lengths]
        for deviation in dict.fromkeys(lengths):
            yield "apart", deviation
            yield "together", deviation


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
