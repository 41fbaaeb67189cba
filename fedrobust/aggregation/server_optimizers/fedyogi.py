"""Yogi on the server."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import Memory
from fedrobust.aggregation.server_optimizers.server_optimizer import SERVER_OPTIMIZERS, moments
from fedrobust.bounds import Decay, Positive


@SERVER_OPTIMIZERS.register("fedyogi")
@dataclass(frozen=True, kw_only=True)
class FedYogi:
    """Yogi on the server (Reddi et al., 2020, arXiv:2003.00295, Algorithm 2).

    Attributes:
        eta: learning rate of the server.
        beta_1: share of the last mean that is kept.
        beta_2: decay of the mean square.
        tau: degree of adaptivity: added to the root of the mean square.
    """

    eta: Positive = 0.01
    beta_1: Decay = 0.9
    beta_2: Decay = 0.99
    tau: Positive = 1e-3

    def __call__(self, update: np.ndarray, memory: Memory, round: int) -> tuple[np.ndarray, Memory]:
        """Return the step."""
        mean, square = moments(update, memory, self.beta_1)
        latest = update**2
        square = square - (1 - self.beta_2) * latest * np.sign(square - latest)
        step = self.eta * mean / (np.sqrt(square) + self.tau)
        return step.astype(np.float32), {"mean": mean, "square": square}
