"""The contract of the server's optimisers, and their registry."""

from typing import Protocol

import numpy as np

from fedrobust.aggregation.contract import Memory
from fedrobust.registry import Registry

SERVER_OPTIMIZERS = Registry("server optimiser", "fedrobust.aggregation.server_optimizers")


class ServerOptimizer(Protocol):
    """A frozen dataclass of settings."""

    def __call__(self, update: np.ndarray, memory: Memory, round: int) -> tuple[np.ndarray, Memory]:
        """Return the step (d,) for an aggregated `update` (d,), and the next state."""
        ...


def moments(update: np.ndarray, memory: Memory, beta_1: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the new decaying mean of updates, ``"mean"`` in memory, and the last ``"square"``, both (d,) float32."""
    mean = beta_1 * memory.get("mean", 0.0) + (1 - beta_1) * update
    return mean.astype(np.float32), np.asarray(memory.get("square", 0.0), np.float32)
