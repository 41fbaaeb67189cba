"""FedNova: normalised averaging."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, Received, State, Train
from fedrobust.models.layout import Layout, Weights


@ALGORITHMS.register("fednova")
@dataclass(frozen=True, kw_only=True)
class FedNova:
    """Average each client's update per unit of local work (Wang et al., 2020, arXiv:2007.07481, equation 6).

    Clients with more images take more steps, and dominate a mean of updates twice: by weight and by norm. Here client i
    sends w_global + (w_i - w_global) / a_i, where a_i is the change of a weight over its steps under a gradient of 1
    (the paper's learning rate times ||a_i||_1, including momentum), and a_i beside it. The server multiplies the
    aggregate by the aggregate of the a_i.

    Malicious clients that do not train send the a_i of an honest client, and divide by it what they would send in
    federated averaging. Rules compare updates of similar norms, independent of the number of steps. The claimed a_i
    scale the whole update: with a mean one client can make it arbitrarily long; otherwise the median of the a_i counts.
    Rules with an absolute threshold (clipping) get updates divided by a_i, which are usually much longer. Rules that
    compare them with the server's own update, or ask the clients' models, are refused.
    """

    normalises: ClassVar[bool] = True
    stateless: ClassVar[bool] = True

    def client(
        self, start: Weights, state: State, train: Train
    ) -> tuple[Weights, State, dict[str, np.ndarray]]:
        """Return the normalised weights, an empty state, and the factor."""
        trained = train(start)
        factor = np.float32(trained.accumulated)
        moved = (trained.trainable - start.trainable) / factor
        return Weights(start.trainable + moved, trained.statistics), {}, {"accumulated": np.array([factor])}

    def sends(self, layout: Layout) -> dict[str, int]:
        """Return the length of the factor, 1."""
        return {"accumulated": 1}

    def divisor(self, arrays: State) -> float:
        """Return a_i, by which the update beside these arrays was divided."""
        return float(arrays["accumulated"][0])

    def server(
        self, update: np.ndarray, memory: State, received: Received
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the update times the aggregated factor, and an empty state."""
        return np.asarray(update * received.arrays["accumulated"], np.float32), {}
