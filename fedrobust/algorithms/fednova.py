"""Normalised averaging."""

from dataclasses import dataclass

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, Received, State, Train
from fedrobust.models.layout import Layout, Weights


@ALGORITHMS.register("fednova")
@dataclass(frozen=True, kw_only=True)
class FedNova:
    """Average each client's update per unit of local work (Wang et al., 2020, arXiv:2007.07481, equation 6).

    Clients with more images take more steps, and a mean of their updates leans towards them twice: by weight and by
    length. Here client i sends w_global + (w_i - w_global) / a_i, where a_i is how far its steps would move a weight
    under a gradient of 1 (the paper's learning rate times ||a_i||_1, momentum included), and a_i beside it. The server
    multiplies the aggregate by the aggregate of the a_i.

    Malicious clients: rules compare updates that are alike in length whatever the number of steps. The claimed a_i
    scale the whole update: with a mean rule one client can make it as long as it likes, with others the median counts.
    Rules with a limit in absolute numbers (clipping) see updates divided by a_i, usually far longer ones.
    """

    def client(
        self, start: Weights, state: State, train: Train
    ) -> tuple[Weights, State, dict[str, np.ndarray]]:
        """Return the normalised weights, nothing to remember, and the factor."""
        trained = train(start)
        factor = np.float32(trained.accumulated)
        moved = (trained.trainable - start.trainable) / factor
        return Weights(start.trainable + moved, trained.statistics), {}, {"accumulated": np.array([factor])}

    def sends(self, layout: Layout) -> dict[str, int]:
        """Return that one number is sent."""
        return {"accumulated": 1}

    def server(
        self, update: np.ndarray, memory: State, received: Received
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the update times the clients' mean factor, and nothing to remember."""
        return np.asarray(update * received.arrays["accumulated"], np.float32), {}
