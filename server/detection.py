"""The figures of a defence in a round: rejected clients, the attackers' weight, the distance to the honest mean."""

from collections.abc import Collection
from typing import Any

import numpy as np

from fedrobust.aggregation import (
    RULES,
    Aggregation,
    AggregationContext,
    AggregationPipeline,
    Bucketing,
    Mean,
    Updates,
)
from fedrobust.aggregation.weights import SiteWeights
from fedrobust.vectors import length


def figures_of(
    defence: AggregationPipeline,
    aggregation: Aggregation,
    client_ids: np.ndarray,
    bad: np.ndarray,
    caught: int,
    rare: Collection[int],
    honest_mean: np.ndarray | None,
) -> dict[str, Any]:
    """Return the figures of the defence in the round: fields of its record.

    Args:
        defence: of this round.
        aggregation: its result.
        client_ids: of the clients (n,).
        bad: mask of the attackers (n,).
        caught: number of attackers whose replies were rejected.
        rare: honest clients with an unusual class distribution.
        honest_mean: (parameters,) mean of the honest updates, with the rule's weights.
    """
    shown: dict[str, Any] = {}
    if honest_mean is not None:
        apart = aggregation.update.astype(np.float64) - honest_mean
        shown["distance"] = _finite(length(apart))
        shown["honest_norm"] = _finite(length(honest_mean))
    if caught and not bad.any():  # no attacker's reply reached the rule
        shown |= {"true_positive_rate": 1.0, "malicious_influence": 0.0}
    influence = aggregation.influence
    if influence is None:
        return shown
    shown["influence"] = tuple(round(float(share), 6) for share in influence)
    if bad.any():
        shown["malicious_influence"] = float(influence[bad].sum())
    if not _leaves_out(defence, influence):
        return shown
    accepted = influence > 0
    shown["accepted"] = tuple(client_ids[accepted].tolist())
    if bad.any():
        shown["true_positive_rate"] = (int((~accepted & bad).sum()) + caught) / (int(bad.sum()) + caught)
    shown["false_positive_rate"] = _share(~accepted, ~bad)
    unusual = np.isin(client_ids, sorted(rare))
    shown["rare_false_positive_rate"] = _share(~accepted, unusual)
    return shown


def _leaves_out(defence: AggregationPipeline, influence: np.ndarray) -> bool:
    """Return whether an influence of 0 means that a client was rejected.

    A user's own rule counts as selecting if some influence is 0, also without a declaration.
    """
    registered = type(defence.rule) in RULES.members.values()
    return defence.selects or (not registered and not influence.all())


def _share(left_out: np.ndarray, among: np.ndarray) -> float | None:
    return float((left_out & among).sum() / among.sum()) if among.any() else None


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None


def claims_of(defence: AggregationPipeline, context: AggregationContext) -> np.ndarray:
    """Return the rule's weights of accepted clients, (n,) float64.

    Args:
        defence: of this round.
        context: of this round.
    """
    examples, weight = context.examples, getattr(defence.rule, "weight", None)
    if any(isinstance(stage, Bucketing) for stage in defence.before):
        return np.ones(len(examples))
    if isinstance(defence.rule, SiteWeights | Mean):
        return defence.rule.weights(context, len(examples))
    if weight is None:
        return np.ones(len(examples))
    typical = float(np.median(examples))
    return np.array([weight(int(claim), typical) for claim in examples], np.float64)


def mean_of(updates: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """Return the mean of `updates` (n, d) weighted by `weights` (n,), None if all weights are 0."""
    total = weights.sum()
    return Updates(updates).combined(weights / total) if total else None
