"""The contract of federated algorithms, and their registry.

An algorithm is a frozen dataclass of settings, with those of the following traits in which it differs from federated
averaging:

``proximal``
    mu of the proximal term mu / 2 ||w - w_global||^2 in every client's objective.
``steered = True``
    the clients' local update takes corrections of its gradients, a proximal term and a mask (`Train`). Otherwise the
    compiled graph has no inputs for them.
``client(start, state, train)``
    returns the weights that a client sends instead of ``train(start)``, its next state and, if the algorithm has
    ``sends``, a mapping of the arrays that it sends beside its weights. ``start`` are the global weights; ``state`` is
    the state that it last returned, empty at first; ``train`` runs the local update from given weights, has the round
    and the model's layout, and may be called more than once.
``stateless = True``
    `client` returns an empty state.
``sends(layout)``
    returns the lengths of the float32 vectors that every client sends beside its weights, by name. The server rejects a
    reply whose vectors have other lengths, or values that are not finite or exceed 1e6. Valid ones are aggregated as
    BatchNorm's statistics: by the mean if the rule is a mean, else by the coordinate-wise median over the accepted
    clients.
``broadcasts(memory)``
    returns the arrays that the server sends beside the global weights, from the state of ``server``.
``server(update, memory, received)``
    returns the transformed aggregated update (d,), to which the server optimiser is applied, and the next state;
    ``memory`` is the state that it last returned, empty at first, and ``received`` the aggregated arrays beside
    weights.
``normalises = True``
    clients send their updates divided by a factor that ``divisor(arrays)`` returns from the arrays that they send.
``passes(epochs)``
    returns the number of passes over a client's images in a round, for the forecast; default: ``training.epochs``.
``personal(weights, state, layout)``
    returns a client's personal model, from the global weights and its state.
``fault(layout)``
    returns why the algorithm is not applicable to a model, "" if it is.

A client's state stays with the client: in Flower's ``Context.state`` of its node, and in the checkpoints of a
simulation. It is kept also after a round that the server rejects, of which clients are not informed. A malicious client
that trains follows the algorithm on its poisoned images, and sends its arrays; one that does not train sends zeros, or
with ``normalises`` the arrays of an honest client, by which it divides, too.

A node keeps its state in memory, for one run. Where it is lost, by a restart of the node or of the run, the client
begins anew. An algorithm whose server has a state, too (`pairs_states`), is then wrong for good: its two sides no
longer match.
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
"""A state: arrays by name."""

NOTHING: State = MappingProxyType({})


class Train(Protocol):
    """The local update of one client in one round."""

    @property
    def layout(self) -> Layout:
        """Layout of the model's weights."""
        ...

    @property
    def round(self) -> int:
        """Number of the round, from 1."""
        ...

    @property
    def broadcast(self) -> State:
        """The server's arrays beside the weights, see ``broadcasts``; empty while the server has no state."""
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

        All calls of a round use the same order of images. Arguments other than `start` and `epochs` need ``steered``.

        Args:
            start: initial weights.
            correction: (parameters,) added to every gradient.
            pull: mu of the proximal term mu / 2 |w - start|^2 in the objective.
            trained: (parameters,) bool, mask of the trained parameters; None: all.
            epochs: passes over the images; None: those of the study.
        """
        ...


@dataclass(frozen=True, eq=False)
class Sent:
    """The result of a client's round.

    Attributes:
        weights: the weights that it sends.
        state: its next state.
        arrays: the arrays that it sends beside its weights.
        memory: what a malicious client keeps for its next round, beside the algorithm's state.
    """

    weights: Weights
    state: State = field(default_factory=dict)
    arrays: State = field(default_factory=dict)
    memory: State = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Received:
    """The server's inputs beside weights.

    Attributes:
        arrays: the aggregated arrays of the clients.
        clients: number of valid replies.
        population: number of clients of the study.
        weight: share of the weight of all clients of the study that those with valid replies have, where the rule
            weights clients; None: it counts them alike.

    Example:
        >>> Received(clients=2, population=8).share, Received(clients=2, population=8, weight=0.5).share
        (0.25, 0.5)
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    clients: int = 1
    population: int = 1
    weight: float | None = None

    @property
    def share(self) -> float:
        """The share of the population with valid replies, by which the mean of a round is a part of that of all."""
        return self.clients / self.population if self.weight is None else self.weight


def proximal_of(algorithm: Algorithm) -> float:
    """Return the mu of an algorithm's proximal term, 0 if it has none."""
    return float(getattr(algorithm, "proximal", 0.0))


def keeps_statistics(algorithm: Algorithm) -> bool:
    """Return whether BatchNorm statistics of a client's own take the place of those that it is sent."""
    return bool(getattr(algorithm, "own_statistics", False))


def is_steered(algorithm: Algorithm) -> bool:
    """Return whether the clients' local update takes corrections."""
    return bool(getattr(algorithm, "steered", False))


def keeps_state(algorithm: Algorithm) -> bool:
    """Return whether clients keep a state from round to round.

    Example:
        >>> from fedrobust.algorithms import FedNova, FedPer
        >>> keeps_state(FedPer()), keeps_state(FedNova())
        (True, False)
    """
    return hasattr(algorithm, "client") and not getattr(algorithm, "stateless", False)


def pairs_states(algorithm: Algorithm) -> bool:
    """Return whether clients and server keep states that have to match: that of the server is of all clients' states.

    Example:
        >>> from fedrobust.algorithms import FedPer, Scaffold
        >>> pairs_states(Scaffold()), pairs_states(FedPer())
        (True, False)
    """
    return keeps_state(algorithm) and hasattr(algorithm, "server")


def passes_of(algorithm: Algorithm, epochs: int) -> int:
    """Return the number of passes over a client's images in a round.

    Args:
        algorithm: of the study.
        epochs: ``training.epochs``.
    """
    passes: Callable[[int], int] | None = getattr(algorithm, "passes", None)
    return passes(epochs) if passes else epochs


def normalises(algorithm: Algorithm) -> bool:
    """Return whether clients send their updates divided by a factor."""
    return bool(getattr(algorithm, "normalises", False))


def divisor_of(algorithm: Algorithm, arrays: State) -> float:
    """Return what a client that sends `arrays` divides its update by; 1 if the algorithm does not normalise."""
    return float(algorithm.divisor(arrays)) if normalises(algorithm) else 1.0


def sends_of(algorithm: Algorithm, layout: Layout) -> Mapping[str, int]:
    """Return the lengths of the vectors that clients send beside weights, by name in alphabetical order."""
    sends: Callable[[Layout], Mapping[str, int]] | None = getattr(algorithm, "sends", None)
    return dict(sorted(sends(layout).items())) if sends else {}


def broadcast_by(algorithm: Algorithm, memory: State) -> State:
    """Return the server's arrays beside the global weights."""
    broadcasts: Callable[[State], State] | None = getattr(algorithm, "broadcasts", None)
    return broadcasts(memory) if broadcasts else {}


def sent_by_client(
    algorithm: Algorithm, start: Weights, state: State, train: Train | Callable[[Weights], Weights]
) -> Sent:
    """Return a client's weights and arrays for the server, and its next state.

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
