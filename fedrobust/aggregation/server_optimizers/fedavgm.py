"""Momentum on the server."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import Memory
from fedrobust.aggregation.server_optimizers.server_optimizer import SERVER_OPTIMIZERS
from fedrobust.bounds import Decay, Positive


@SERVER_OPTIMIZERS.register("fedavgm")
@dataclass(frozen=True, kw_only=True)
class FedAvgM:
    """Momentum on the server (Hsu et al., 2019, arXiv:1909.06335).

    Attributes:
        learning_rate: of the server.
        momentum: share of the last step that is kept.
    """

    learning_rate: Positive = 1.0
    momentum: Decay = 0.9

    def __call__(self, update: np.ndarray, memory: Memory, round: int) -> tuple[np.ndarray, Memory]:
        """Return the step."""
        velocity = update if "velocity" not in memory else self.momentum * memory["velocity"] + update
        velocity = np.asarray(velocity, np.float32)
        return np.float32(self.learning_rate) * velocity, {"velocity": velocity}
