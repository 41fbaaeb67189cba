"""FoolsGold: reduce the weight of clients with similar updates."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.distances import inner_products
from fedrobust.aggregation.sketch import sketch
from fedrobust.aggregation.updates import Updates
from fedrobust.vectors import lengths as lengths_of

CONFIDENCE = 1.0
"""The kappa of the paper."""


def foolsgold_weights(cosines: np.ndarray) -> np.ndarray:
    """Return the weights (n,) in [0, 1] of clients from the cosines (n, n) of their summed updates."""
    n = len(cosines)
    if n == 1:
        return np.ones(1)
    alike = cosines - np.eye(n) * 2  # excludes the cosine of a client with itself
    largest = np.maximum(alike.max(1), 1e-12)
    # Pardoning: an honest client similar to a sybil has a smaller largest cosine than the sybil.
    pardon = np.where(largest[None, :] > largest[:, None], largest[:, None] / largest[None, :], 1.0)
    weights = np.clip(1 - (alike * pardon).max(1), 0, 1)
    if not weights.any():
        return np.zeros(n)
    weights = np.clip(weights / weights.max(), 1e-12, 0.99)
    return np.clip(CONFIDENCE * (np.log(weights / (1 - weights)) + 0.5), 0, 1)


@RULES.register("foolsgold")
@dataclass(frozen=True, kw_only=True)
class FoolsGold:
    """Reduce the weight of clients with similar summed updates (Fung et al., 2018, arXiv:1808.04866, Alg. 1).

    Designed for sybils of one attacker among honest clients with different data; similar honest clients (iid) lose
    weight, too. Weights are divided by their sum, so that the result is an average update. Histories are stored as
    sketches. Only directions count: a single attacker, or attackers that differ, are averaged with any norm (the paper
    combines it with Multi-Krum for those). ``clipping`` or ``arc`` before it bound the norm of the result, and of every
    history, by that of honest updates.
    """

    SELECTS: ClassVar[bool] = True
    REMEMBERS: ClassVar[bool] = True

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the weighted mean of `updates`."""
        if len(context.client_ids) != len(updates):
            raise ValueError(
                "foolsgold remembers clients: no pre-aggregator that mixes them can stand before it"
            )
        known = context.memory.get("partitions", np.zeros(0, np.int64))
        latest = sketch(updates, context.seed)
        sums = context.memory.get("sums", np.zeros((0, latest.shape[1])))
        partitions = np.union1d(known, context.client_ids)
        history = np.zeros((len(partitions), latest.shape[1]))
        history[np.searchsorted(partitions, known)] = sums
        places = np.searchsorted(partitions, context.client_ids)
        history[places] += latest
        mine = history[places]
        lengths = lengths_of(mine)
        scale = lengths[:, None] * lengths[None, :]
        cosines = np.divide(inner_products(mine), scale, out=np.zeros_like(scale), where=scale > 0)
        weights = foolsgold_weights(cosines)
        shares = weights / weights.sum() if weights.any() else weights
        memory = {"partitions": partitions, "sums": history}
        return Aggregation(updates.combined(shares), shares, memory)
