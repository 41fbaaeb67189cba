"""The contracts of aggregation rules and pre-aggregators, and their registries.

A rule either takes one client at a time (`StreamingRule`), or all of them as a matrix (`MatrixRule`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias, TypeGuard, TypeVar, runtime_checkable

import numpy as np

from fedrobust.aggregation.answers import ModelAnswers
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Whole
from fedrobust.errors import FedrobustError
from fedrobust.models.layout import Layout
from fedrobust.registry import Registry

RULES = Registry("aggregation rule", "fedrobust.aggregation.rules")
PRE_AGGREGATORS = Registry("pre-aggregator", "fedrobust.aggregation.pre_aggregators")

Memory: TypeAlias = Mapping[str, np.ndarray]
"""The state of a rule from round to round: arrays by name. It is part of the run's checkpoints."""


Known = TypeVar("Known")


class InfeasibleError(FedrobustError, ValueError):
    """A rule cannot tolerate so many malicious clients among so many clients, or lacks what it compares them by."""


def _no_root(images: int) -> np.ndarray:
    raise InfeasibleError(
        f"there is no server with {images} images of its own here: give AggregationContext a root"
    )


@dataclass(frozen=True, eq=False)
class AggregationContext:
    """The clients of a round, and a rule's further inputs beside their updates.

    Attributes:
        client_ids: the clients, ascending (n,) int64.
        examples: their claimed, unverified numbers of images, (n,) int64.
        round: number of the round, from 1.
        generator: random numbers of this round.
        seed: the study's, for random numbers that are the same in every round.
        memory: the rule's state after the previous round; empty in the first.
        current: the global weights that the clients were sent, (d,) float32; None if not needed.
        root: returns the update (d,) that the server computes on a given number of its own images, in as many steps as
            the client with `typical` images.
        losses: their claimed, unverified mean training losses, (n,) float64, NaN for a missing or impossible claim;
            None if not known.
        layout: the model's arrays, whose trainable ones are the columns of updates in sequence; None if not known.
        statistics: the clients' BatchNorm statistics (n, s) float32, the layout's in sequence; None if not known.
        current_statistics: those that the clients were sent, (s,) float32; None if not known.
        model: answers of models that differ from the global one by an update; None if there is none to ask.
        typical: median number of images that the study's clients registered; None: that of the round's claims.
    """

    client_ids: np.ndarray
    examples: np.ndarray
    round: int = 1
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    seed: int = 0
    memory: Memory = field(default_factory=dict)
    current: np.ndarray | None = None
    root: Callable[[int], np.ndarray] = _no_root
    losses: np.ndarray | None = None
    layout: Layout | None = None
    statistics: np.ndarray | None = None
    current_statistics: np.ndarray | None = None
    model: ModelAnswers | None = None
    typical: float | None = None

    @classmethod
    def of(cls, updates: Updates) -> "AggregationContext":
        """Return `len(updates)` clients of one image and equal losses each, in a first round."""
        n = len(updates)
        return cls(np.arange(n), np.ones(n, np.int64), losses=np.zeros(n))


def known(value: Known | None, rule: object, what: str) -> Known:
    """Return `value`, an input of `rule` that `AggregationContext` has only if the caller knows it.

    Args:
        value: of the context.
        rule: needs it.
        what: it is, for the message.

    Raises:
        InfeasibleError: it is None.
    """
    if value is None:
        raise InfeasibleError(f"{type(rule).__name__} needs {what}: give them to AggregationContext")
    return value


@dataclass(frozen=True, eq=False)
class Aggregation:
    """The result of a rule.

    Attributes:
        update: (d,) float32, to be added to the global weights.
        influence: (n,) float64, not negative: each update's weight in it, 0 for rejected ones. None for rules that
            aggregate each coordinate, which reject no client as a whole.
        memory: the rule's state for the next round.
    """

    update: np.ndarray
    influence: np.ndarray | None = None
    memory: Memory = field(default_factory=dict)


class RunningAggregate(Protocol):
    """A running aggregate, whose memory does not grow with the number of clients."""

    def add(self, vector: np.ndarray, weight: int) -> None:
        """Add one client's float32 `vector` (d,) with its `weight`, in any order of the clients."""
        ...

    def result(self) -> np.ndarray:
        """Return the aggregate (d,) float32."""
        ...


@runtime_checkable
class MatrixRule(Protocol):
    """A rule on the updates of all clients at once. A frozen dataclass of settings.

    With a setting in clients it may have a method ``among(n, share)``, which returns the rule for a round of `n`
    updates, the `share` of those asked for. With ``TO_SCALE = True`` it compares updates with the server's own or
    asks the models that they lead to, and is refused with algorithms that divide updates by local steps, or whose
    clients do not send all that they trained; ``READS = "statistics"`` or ``"head"`` names what they have to send.
    """

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the aggregate; ``np.asarray(updates)`` is the (n, d) float32 matrix of updates."""
        ...


@runtime_checkable
class StreamingRule(MatrixRule, Protocol):
    """A rule that can also aggregate clients one at a time, as their weights arrive."""

    def start(self, size: int) -> RunningAggregate:
        """Return an empty aggregate of vectors of `size` numbers."""
        ...

    def weight(self, examples: int, typical: float) -> int:
        """Return a client's weight from the images it claims; `typical` is the median of all clients' claims."""
        ...


def selects(stage: object) -> bool:
    """Return whether `stage`, a rule or a pre-aggregator, rejects clients as a whole.

    Those that do set ``SELECTS = True``: an influence of exactly 0 then means that the client was rejected. The others
    weight all clients, or aggregate each coordinate.
    """
    return bool(getattr(stage, "SELECTS", False))


def streams(rule: object) -> TypeGuard[StreamingRule]:
    """Return whether `rule` can aggregate one client at a time: a `StreamingRule`, unless its settings need all."""
    return isinstance(rule, StreamingRule) and bool(getattr(rule, "streams", True))


def averages(rule: object) -> bool:
    """Return whether `rule` is a mean: BatchNorm's statistics are then averaged, too, not their median.

    A `StreamingRule` is one. Others that weight all clients set ``AVERAGES = True``.
    """
    return isinstance(rule, StreamingRule) or bool(getattr(rule, "AVERAGES", False))


class PreAggregator(Protocol):
    """A transformation of the updates before the rule. A frozen dataclass of settings."""

    def __call__(self, updates: Updates, context: AggregationContext) -> Updates:
        """Return the transformed updates for the rule; `Updates.mixed` computes weighted sums of updates."""
        ...


Rule: TypeAlias = StreamingRule | MatrixRule


@dataclass(frozen=True, kw_only=True)
class ByzantineTolerant:
    """A rule or pre-aggregator that tolerates a given number f of Byzantine clients.

    Attributes:
        f: malicious clients in a round that are tolerated.
    """

    f: Whole = 0

    NEEDS: ClassVar[str] = "n > 2f"

    @classmethod
    def min_clients(cls, f: int) -> int:
        """Return the smallest number of clients with which `f` malicious ones are tolerated."""
        return 2 * f + 1

    @classmethod
    def max_f(cls, n: int) -> int:
        """Return the largest f that is tolerated among `n` clients; -1 if `n` is too small for any."""
        return max((f for f in range(n) if cls.min_clients(f) <= n), default=-1)

    def require(self, n: int) -> None:
        """Refuse too few updates.

        Raises:
            InfeasibleError: `n` updates are too few for f.
        """
        if self.f < 0 or self.min_clients(self.f) > n:
            name, least = type(self).__name__, self.min_clients(max(0, self.f))
            raise InfeasibleError(
                f"{name} with f = {self.f} of {n} clients: {self.NEEDS} means at least {least} "
                f"clients; with {n} it tolerates {max(0, self.max_f(n))}"
            )
