"""The contract of federated algorithms, and their registry.

An algorithm is a frozen dataclass of settings. It has those of these traits in which it differs from federated
averaging:

``proximal``
    mu of the term mu / 2 ||w - w_global||^2 that every client adds to its objective.
``steered = True``
    the clients' local update takes corrections of its gradients, a proximal term and a mask (`Train`). Only then are
    they in the compiled graph: who does not need them does not pay for them.
``client(start, state, train)``
    returns what a client sends instead of ``train(start)``, what it wants to find in the next round in which it takes
    part and, where the algorithm has ``sends``, a mapping of the arrays that it sends beside its weights. ``start`` are
    the global weights; ``state`` is what it returned before, empty at first; ``train`` runs the local update from given
    weights, knows the round and the model's layout, and may be called more than once.
``sends(layout)``
    returns the lengths of the float32 vectors that every client sends beside its weights, by name. The server refuses a
    reply whose vectors have other lengths, or hold numbers that are not finite or are beyond 1e6. The others are
    aggregated as BatchNorm's statistics are: by the mean where the rule is a mean, else by the median of each number
    among the clients that the rule accepts.
``tells(memory)``
    returns the arrays that the server sends beside the global weights, from what ``server`` remembered.
``server(update, memory, received)``
    returns what becomes of the aggregated update (d,) before the server optimiser, and what is remembered for the next
    round; ``memory`` is what it returned before, empty at first, and ``received`` what came beside the weights.
``passes(epochs)``
    returns how many passes over its images a client makes in a round, for the forecast; ``training.epochs`` without it.
``personal(weights, state, layout)``
    returns the model that a client uses itself, from the global weights and its state.
``fault(layout)``
    returns why the algorithm means nothing for a model, "" if it does.

A client's state stays with the client: in Flower's ``Context.state`` of its node, and in the checkpoints of a
simulation. What a client remembers of a round that the server rejects, it remembers: no client is told. A malicious
client that trains follows the algorithm on its poisoned images, and sends its arrays; one that does not train sends
zeros.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

import numpy as np

from fedrobust.models.layout import Layout, Weights
from fedrobust.registry import Registry
from fedrobust.training.steering import Trained

ALGORITHMS = Registry("federated algorithm", "fedrobust.algorithms")

Algorithm: TypeAlias = Any
"""A frozen dataclass with some of the traits above."""

State: TypeAlias = Mapping[str, np.ndarray]
"""What a client remembers: arrays by name."""

NOTHING: State = MappingProxyType({})


class Train(Protocol):
    """The local update of one client in one round."""

    @property
    def layout(self) -> Layout:
        """Of the model's weights."""
        ...

    @property
    def round(self) -> int:
        """From 1."""
        ...

    @property
    def told(self) -> State:
        """What the server sends beside the weights, see ``tells``; empty as long as it remembers nothing."""
        ...

    def __call__(
        self,
        start: Weights,
        correction: np.ndarray | None = None,
        pull: float = 0.0,
        trained: np.ndarray | None = None,
        epochs: int | None = None,
    ) -> Trained:
        """Return the weights after training from `start`, with steps, learning rates and the mean gradient.

        All calls of a round go through the images in the same order. All but `start` and `epochs` need ``steered``.

        Args:
            start: weights.
            correction: (parameters,) added to every gradient.
            pull: mu of mu / 2 times the squared distance to `start`, added to the objective.
            trained: (parameters,) bool, the numbers that are trained; None for all.
            epochs: passes over the images; None for the study's.
        """
        ...


@dataclass(frozen=True, eq=False)
class Sent:
    """What a client's round comes to.

    Attributes:
        weights: that it sends.
        state: that it remembers.
        arrays: that it sends beside its weights.
    """

    weights: Weights
    state: State = field(default_factory=dict)
    arrays: State = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Received:
    """What came to the server beside weights.

    Attributes:
        arrays: what the clients' arrays are aggregated to.
        clients: how many replies counted.
        population: how many clients the study has.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    clients: int = 1
    population: int = 1

    @property
    def share(self) -> float:
        """The share of the population whose replies counted."""
        return self.clients / self.population


def proximal_of(algorithm: Algorithm) -> float:
    """Return the mu of an algorithm's proximal term, 0 where it has none."""
    return float(getattr(algorithm, "proximal", 0.0))


def is_steered(algorithm: Algorithm) -> bool:
    """Return whether the clients' local update takes corrections."""
    return bool(getattr(algorithm, "steered", False))


def passes_of(algorithm: Algorithm, epochs: int) -> int:
    """Return how many passes over its images a client makes in a round.

    Args:
        algorithm: of the study.
        epochs: ``training.epochs``.
    """
    passes: Callable[[int], int] | None = getattr(algorithm, "passes", None)
    return passes(epochs) if passes else epochs


def sends_of(algorithm: Algorithm, layout: Layout) -> Mapping[str, int]:
    """Return the lengths of the vectors that clients send beside weights, by name in alphabetical order."""
    sends: Callable[[Layout], Mapping[str, int]] | None = getattr(algorithm, "sends", None)
    return dict(sorted(sends(layout).items())) if sends else {}


def told_by(algorithm: Algorithm, memory: State) -> State:
    """Return what the server sends beside the global weights."""
    tells: Callable[[State], State] | None = getattr(algorithm, "tells", None)
    return tells(memory) if tells else {}


def sent_by_client(
    algorithm: Algorithm, start: Weights, state: State, train: Train | Callable[[Weights], Weights]
) -> Sent:
    """Return what a client sends, and what it remembers.

    Example:
        >>> from fedrobust.algorithms import FedAvg
        >>> start = Weights(np.zeros(2, np.float32), np.zeros(0, np.float32))
        >>> def train(weights):
        ...     return Weights(weights.trainable + 1, weights.statistics)
        >>> sent = sent_by_client(FedAvg(), start, {}, train)
        >>> sent.weights.trainable.tolist(), dict(sent.state)
        ([1.0, 1.0], {})
    """
    client = getattr(algorithm, "client", None)
    return Sent(train(start)) if client is None else Sent(*client(start, state, train))
