"""The aggregation pipeline: pre-aggregators, then one rule, and the number of attackers that they tolerate."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.aggregation.blocks import each_block
from fedrobust.aggregation.contract import (
    PRE_AGGREGATORS,
    RULES,
    Aggregation,
    AggregationContext,
    ByzantineTolerant,
    InfeasibleError,
    MatrixRule,
    PreAggregator,
    selects,
)
from fedrobust.aggregation.pre_aggregators.bucketing import Bucketing
from fedrobust.aggregation.updates import Updates
from fedrobust.spec import build


@dataclass(frozen=True)
class AggregationPipeline:
    """Pre-aggregators in sequence, then a rule.

    Attributes:
        rule: aggregates the updates.
        before: pre-aggregators, in order.
        sampled: number of clients that a round asks; 0: not known.

    Example:
        >>> updates = np.array([[1, 0], [1.1, 0], [0.9, 0], [1, 0.1], [-50, 9]], np.float32)
        >>> defence("krum", "nnm", f=1)(updates).update.round(1).tolist()
        [1.0, 0.0]
    """

    rule: MatrixRule
    before: tuple[PreAggregator, ...] = ()
    sampled: int = 0

    def __call__(
        self, updates: "np.ndarray | Updates", context: AggregationContext | None = None
    ) -> Aggregation:
        """Return one update from those of a round; `influence` is that of the clients.

        Args:
            updates: (n, d) float32. Rows of an array that are not finite are rejected, and f is reduced by their
                number; `Updates` must be checked already.
            context: of the round; clients of one image each if None.

        Raises:
            InfeasibleError: there are too few updates for f.
        """
        sent = Updates.of(updates)
        context = context or AggregationContext.of(sent)
        if not isinstance(updates, Updates) and not (finite := finite_rows(sent.matrix)).all():
            return self._without(~finite, sent.matrix, context)
        seen = sent
        for stage in self.before:
            seen = Updates.of(stage(seen, context))
        aggregation = checked(self.rule(seen, context), seen, type(self.rule).__name__)
        if seen is sent or aggregation.influence is None:
            return aggregation
        shares = seen.shares_of(sent)
        if shares is None:
            return dataclasses.replace(aggregation, influence=None)
        influence = aggregation.influence @ shares
        total = influence.sum()
        return dataclasses.replace(aggregation, influence=influence / total if total else influence)

    def _without(self, bad: np.ndarray, matrix: np.ndarray, context: AggregationContext) -> Aggregation:
        """Return the aggregate of the clients that are not `bad`, which have influence 0."""
        if bad.all():
            raise InfeasibleError(f"none of {len(matrix)} updates is finite")
        left = dataclasses.replace(
            context,
            client_ids=context.client_ids[~bad],
            examples=context.examples[~bad],
            losses=None if context.losses is None else context.losses[~bad],
            statistics=None if context.statistics is None else context.statistics[~bad],
        )
        fewer = AggregationPipeline(
            _caught(self.rule, int(bad.sum())), tuple(_caught(stage, int(bad.sum())) for stage in self.before)
        )
        aggregation = fewer(Updates(matrix[~bad]), left)
        if aggregation.influence is None:
            return aggregation
        influence = np.zeros(len(matrix))
        influence[~bad] = aggregation.influence
        return dataclasses.replace(aggregation, influence=influence)

    def check(self, n: int) -> None:
        """Refuse a pipeline that is infeasible among `n` clients.

        Raises:
            InfeasibleError: it is; the message has the numbers.
        """
        self.check_order()
        for stage, seen in self.stages(n):
            check_stage(stage, seen)

    def check_order(self) -> None:
        """Refuse pre-aggregators that mix clients before a rule with a state or a loss of each client.

        Raises:
            InfeasibleError: the rule could not assign updates to clients.
        """
        mixing = [type(stage).__name__ for stage in self.before if getattr(stage, "MIXES", False)]
        if mixing and getattr(self.rule, "BY_CLIENT", False):
            raise InfeasibleError(
                f"{type(self.rule).__name__} weights every client by the loss that it reports, and {mixing[0]} mixes "
                "clients: leave the pre-aggregator out, or choose another rule"
            )
        if mixing and getattr(self.rule, "OWN_STATISTICS", False):
            raise InfeasibleError(
                f"{type(self.rule).__name__} looks at every client's own BatchNorm statistics, and {mixing[0]} mixes "
                "clients: leave the pre-aggregator out, or choose another rule"
            )
        if mixing and getattr(self.rule, "REMEMBERS", False):
            raise InfeasibleError(
                f"{type(self.rule).__name__} compares every client with what it sent before, and {mixing[0]} mixes "
                "clients: leave the pre-aggregator out, or choose another rule"
            )

    def among(self, n: int) -> "AggregationPipeline":
        """Return this pipeline for a round with `n` updates, which may be fewer than it asked for.

        f is at most what is feasible among them. A stage with other settings in clients has a method ``among(n,
        share)`` that returns the stage for `n` updates, the `share` of those asked for.
        """
        share = min(1.0, n / self.sampled) if self.sampled else 1.0
        stages: list[Any] = []
        for stage in (*self.before, self.rule):
            if isinstance(stage, ByzantineTolerant) and stage.f > stage.max_f(n):
                stage = dataclasses.replace(stage, f=max(0, stage.max_f(n)))
            if hasattr(stage, "among"):
                stage = stage.among(n, share)
            stages.append(stage)
            n = _left(stage, n)
        *before, rule = stages
        return AggregationPipeline(rule, tuple(before), self.sampled)

    @property
    def tolerated(self) -> int | None:
        """The smallest f of the stages; None if no stage takes f."""
        numbers = [stage.f for stage in (*self.before, self.rule) if isinstance(stage, ByzantineTolerant)]
        return min(numbers, default=None)

    @property
    def selects(self) -> bool:
        """Whether an influence of exactly 0 means that a client was rejected; see `fedrobust.aggregation.selects`."""
        return any(selects(stage) for stage in (*self.before, self.rule))

    def stages(self, n: int) -> Iterator[tuple[Any, int]]:
        """Return pre-aggregators and rule in order, each with the number of updates that it gets of `n`."""
        for stage in (*self.before, self.rule):
            yield stage, n
            n = _left(stage, n)


def check_stage(stage: Any, n: int) -> None:
    """Refuse a rule or a pre-aggregator that is infeasible among `n` updates.

    Raises:
        InfeasibleError: it is; the message has the numbers.
    """
    if isinstance(stage, ByzantineTolerant):
        stage.require(n)
    if hasattr(stage, "fits"):
        stage.fits(n)


def _left(stage: Any, n: int) -> int:
    """Return how many of `n` updates a stage leaves."""
    return -(-n // stage.size) if isinstance(stage, Bucketing) else n


def _caught(stage: Any, count: int) -> Any:
    """Return `stage` after `count` attackers have been identified."""
    return (
        dataclasses.replace(stage, f=max(0, stage.f - count))
        if isinstance(stage, ByzantineTolerant)
        else stage
    )


def finite_rows(matrix: np.ndarray) -> np.ndarray:
    """Return the mask of rows of `matrix` (n, d) with only finite values, (n,) bool."""
    blocks = each_block(matrix.shape[1], len(matrix), lambda block: np.isfinite(matrix[:, block]).all(1))
    return np.all(blocks, axis=0)


def checked(aggregation: Aggregation, updates: Updates, name: str) -> Aggregation:
    """Return a rule's result, checked and as float32 (a user's rule may compute in float64).

    Raises:
        ValueError: it is not one update, or the influence is not one weight for each update.
    """
    if not isinstance(aggregation, Aggregation):
        raise ValueError(f"{name} returned a {type(aggregation).__name__}: an Aggregation is expected")
    update = np.asarray(aggregation.update, np.float32)
    if update.shape != (updates.size,):
        raise ValueError(f"{name} returned an update of shape {update.shape}: ({updates.size},) is expected")
    influence = aggregation.influence
    if influence is not None:
        influence = np.asarray(influence, np.float64)
        if influence.shape != (len(updates),) or not (influence >= 0).all():
            raise ValueError(
                f"{name} returned influence of shape {influence.shape}: ({len(updates)},) numbers from 0 are expected"
            )
    return dataclasses.replace(aggregation, update=update, influence=influence)


def defence(rule: str, *before: str, f: int = 0) -> AggregationPipeline:
    """Return a defence from names with settings.

    Args:
        rule: such as ``"multi-krum(m=3)"``, or a dotted path.
        before: pre-aggregators, such as ``"nnm"``.
        f: malicious clients to tolerate, for stages that take f without a value of their own.

    Raises:
        SpecError, UnknownNameError: a name or a setting is wrong.
    """
    stages = tuple(build(PRE_AGGREGATORS, each, f=f) for each in before)
    return AggregationPipeline(build(RULES, rule, f=f), stages)
