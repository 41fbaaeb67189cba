"""FedDyn: dynamic regularisation."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, Received, State, Train
from fedrobust.bounds import Positive
from fedrobust.models.layout import Weights


@ALGORITHMS.register("feddyn")
@dataclass(frozen=True, kw_only=True)
class FedDyn:
    """Add a linear and a quadratic term to each client's objective (Acar et al., 2021, arXiv:2111.04263, Algorithm 1).

    Client k minimises L_k(w) - <h_k, w> + alpha / 2 ||w - w_global||^2, then subtracts alpha (w - w_global) from h_k,
    which becomes the gradient of L_k at its own weights. The server adds to the mean of the weights its state: the sum
    of all rounds' mean updates, each times the share of the population that took part (-h / alpha in the paper). Where
    the rule weights clients by their images, it is the share of the weight. At a fixed point the gradients of all
    clients, so weighted, sum to zero: the optimum of the total loss.

    Malicious clients: the server's state is a sum over all rounds without decay, so that a single accepted malicious
    update affects every later model. It is computed from the aggregate only, which a robust rule can protect.

    Attributes:
        alpha: weight of half the squared distance to the global weights; a smaller one gives larger server steps.
    """

    alpha: Positive = 0.1

    steered: ClassVar[bool] = True

    def client(self, start: Weights, state: State, train: Train) -> tuple[Weights, State]:
        """Return the weights after the local steps, and the client's linear term."""
        linear = state.get("linear", np.zeros_like(start.trainable))
        trained = train(start, correction=-linear, pull=self.alpha)
        moved = trained.trainable - start.trainable
        return trained, {"linear": np.asarray(linear - np.float32(self.alpha) * moved, np.float32)}

    def server(
        self, update: np.ndarray, memory: State, received: Received
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the update plus the sum of all updates, and that sum."""
        moved = memory.get("moved", np.zeros_like(update)) + np.float32(received.share) * update
        return np.asarray(update + moved, np.float32), {"moved": np.asarray(moved, np.float32)}
