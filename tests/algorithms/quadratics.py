"""Clients whose losses are quadratic, so that their local updates and the optimum of all are formulas."""

from dataclasses import dataclass, field

import numpy as np

from fedrobust.algorithms.contract import NOTHING, Received, State, broadcast_by, sends_of, sent_by_client
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.training.optimizers import SGD
from fedrobust.training.steering import Trained

LAYOUT = Layout((Entry("body/kernel", (1,), "trainable"), Entry("head/kernel", (1,), "trainable")))
NO_STATISTICS = np.zeros(0, np.float32)


def weights(*numbers) -> Weights:
    """Return the weights (body, head)."""
    return Weights(np.array(numbers, np.float32), NO_STATISTICS)


@dataclass
class Quadratic:
    """A client with the loss sum of h (w - b)^2 / 2, and `steps` steps of gradient descent an epoch.

    Attributes:
        curvature: h, (2,).
        centre: b, (2,).
        steps: of an epoch.
        rate: the learning rate.
        broadcast: what the server sends beside the weights.
        calls: how it was called.
    """

    curvature: np.ndarray
    centre: np.ndarray
    steps: int = 3
    rate: float = 0.1
    broadcast: State = field(default_factory=dict)
    calls: list = field(default_factory=list)
    layout = LAYOUT
    round = 1

    def gradient(self, w):
        return np.asarray(self.curvature) * (w - np.asarray(self.centre))

    def __call__(self, start, correction=None, pull=0.0, trained=None, epochs=None):
        self.calls.append((correction, pull, trained, epochs))
        w, total = start.trainable.astype(np.float64), 0.0
        steps = self.steps * (epochs or 1)
        for _ in range(steps):
            own = self.gradient(w)
            total = total + own
            step = own + (0 if correction is None else correction) + pull * (w - start.trainable)
            w = w - self.rate * (step if trained is None else step * trained)
        return Trained(
            w.astype(np.float32),
            start.statistics,
            np.full(steps, self.rate, np.float32),
            SGD(momentum=0.0),
            np.asarray(total / steps, np.float32),
        )


def federated(algorithm, clients, rounds, start=(0.0, 0.0), sizes=None, groups=None):
    """Return the global weights after `rounds`, each client's state, and the memory.

    Args:
        algorithm: of the federation.
        clients: with quadratic losses.
        rounds: number of them.
        start: the initial weights.
        sizes: images of each client, by which a mean weights them; None: all alike.
        groups: places of the clients that take part, one group a round, in turn; None: all in every round.
    """
    current, memory = weights(*start), {}
    sizes = np.ones(len(clients)) if sizes is None else np.array(sizes, np.float64)
    states = [NOTHING] * len(clients)
    names = sends_of(algorithm, LAYOUT)
    for round in range(rounds):
        sent, taking = [], list(range(len(clients))) if groups is None else groups[round % len(groups)]
        for place in taking:
            client = clients[place]
            client.broadcast = broadcast_by(algorithm, memory)
            sent.append(sent_by_client(algorithm, current, states[place], client))
            states[place] = sent[-1].state
        shares = sizes[taking] / sizes[taking].sum()
        update = shares @ [one.weights.trainable - current.trainable for one in sent]
        if hasattr(algorithm, "server"):
            arrays = {name: shares @ [one.arrays[name] for one in sent] for name in names}
            weight = float(sizes[taking].sum() / sizes.sum())
            received = Received(arrays, len(taking), len(clients), weight)
            update, memory = algorithm.server(update, memory, received)
        current = weights(*(current.trainable + update))
    return current, states, memory
