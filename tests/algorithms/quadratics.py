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


def federated(algorithm, clients, rounds, start=(0.0, 0.0)):
    """Return the global weights after `rounds` in which all clients take part, each client's state, and the memory."""
    current, memory = weights(*start), {}
    states = [NOTHING] * len(clients)
    names = sends_of(algorithm, LAYOUT)
    for _ in range(rounds):
        sent = []
        for place, client in enumerate(clients):
            client.broadcast = broadcast_by(algorithm, memory)
            sent.append(sent_by_client(algorithm, current, states[place], client))
            states[place] = sent[-1].state
        update = np.mean([one.weights.trainable - current.trainable for one in sent], axis=0)
        if hasattr(algorithm, "server"):
            arrays = {name: np.mean([one.arrays[name] for one in sent], axis=0) for name in names}
            received = Received(arrays, len(clients), len(clients))
            update, memory = algorithm.server(update, memory, received)
        current = weights(*(current.trainable + update))
    return current, states, memory
