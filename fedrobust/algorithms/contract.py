"""The contract of federated algorithms, and their registry.

An algorithm is a frozen dataclass of settings. It has those of these traits in which it differs from federated
averaging:

``proximal``
    mu of the term mu / 2 ||w - w_global||^2 that every client adds to its objective.
``client(start, state, train)``
    returns what a client sends instead of ``train(start)``, and what it wants to find in the next round in which it
    takes part. ``start`` are the global weights; ``state`` is what it returned before, empty at first; ``train`` runs
    the local update from given weights, and may be called more than once.
``server(update, memory)``
    returns what becomes of the aggregated update (d,) before the server optimiser, and what is remembered for the next
    round; ``memory`` is what it returned before, empty at first.

A client's state stays with the client: in Flower's ``Context.state`` of its node, and in the checkpoints of a
simulation. What a client remembers of a round that the server rejects, it remembers: no client is told.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from fedrobust.models.layout import Weights
from fedrobust.registry import Registry

ALGORITHMS = Registry("federated algorithm", "fedrobust.algorithms")

Algorithm: TypeAlias = Any
"""A frozen dataclass with some of the traits above."""

State: TypeAlias = Mapping[str, np.ndarray]
"""What a client remembers: arrays by name."""

Train: TypeAlias = Callable[[Weights], Weights]
"""The local update: from weights to weights."""


def proximal_of(algorithm: Algorithm) -> float:
    """Return the mu of an algorithm's proximal term, 0 where it has none."""
    return float(getattr(algorithm, "proximal", 0.0))


def sent_by_client(algorithm: Algorithm, start: Weights, state: State, train: Train) -> tuple[Weights, State]:
    """Return what a client sends, and what it remembers.

    Example:
        >>> from fedrobust.algorithms import FedAvg
        >>> start = Weights(np.zeros(2, np.float32), np.zeros(0, np.float32))
        >>> def train(weights):
        ...     return Weights(weights.trainable + 1, weights.statistics)
        >>> sent, state = sent_by_client(FedAvg(), start, {}, train)
        >>> sent.trainable.tolist(), state
        ([1.0, 1.0], {})
    """
    client = getattr(algorithm, "client", None)
    if client is None:
        return train(start), {}
    sent, remembered = client(start, state, train)
    return sent, remembered
