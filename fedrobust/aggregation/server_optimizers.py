"""What the server makes of an aggregated update: a step of its own optimiser, as in Flower's strategies."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedrobust.aggregation.contract import Memory
from fedrobust.bounds import Decay, Positive
from fedrobust.registry import Registry

SERVER_OPTIMIZERS = Registry("server optimiser")


class ServerOptimizer(Protocol):
    """A frozen dataclass of settings."""

    def __call__(self, update: np.ndarray, memory: Memory, round: int) -> tuple[np.ndarray, Memory]:
        """Return the step (d,) to take for an aggregated `update` (d,), and what to remember of it."""
        ...


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


@SERVER_OPTIMIZERS.register("fedadam")
@dataclass(frozen=True, kw_only=True)
class FedAdam:
    """Adam on the server (Reddi et al., 2020, arXiv:2003.00295, Algorithm 2), with Flower's bias correction.

    Attributes:
        eta: learning rate of the server.
        beta_1: share of the last mean that is kept.
        beta_2: share of the last mean square that is kept.
        tau: degree of adaptivity: added to the root of the mean square.
    """

    eta: Positive = 0.1
    beta_1: Decay = 0.9
    beta_2: Decay = 0.99
    tau: Positive = 1e-3

    def __call__(self, update: np.ndarray, memory: Memory, round: int) -> tuple[np.ndarray, Memory]:
        """Return the step."""
        mean, square = _moments(update, memory, self.beta_1)
        square = self.beta_2 * square + (1 - self.beta_2) * update**2
        # Flower counts rounds from 1 and corrects with one more.
        eta = self.eta * np.sqrt(1 - self.beta_2 ** (round + 1.0)) / (1 - self.beta_1 ** (round + 1.0))
        step = eta * mean / (np.sqrt(square) + self.tau)
        return step.astype(np.float32), {"mean": mean, "square": square}


@SERVER_OPTIMIZERS.register("fedyogi")
@dataclass(frozen=True, kw_only=True)
class FedYogi:
    """Yogi on the server (Reddi et al., 2020, arXiv:2003.00295, Algorithm 2).

    Attributes:
        eta: learning rate of the server.
        beta_1: share of the last mean that is kept.
        beta_2: how fast the mean square follows.
        tau: degree of adaptivity: added to the root of the mean square.
    """

    eta: Positive = 0.01
    beta_1: Decay = 0.9
    beta_2: Decay = 0.99
    tau: Positive = 1e-3

    def __call__(self, update: np.ndarray, memory: Memory, round: int) -> tuple[np.ndarray, Memory]:
        """Return the step."""
        mean, square = _moments(update, memory, self.beta_1)
        latest = update**2
        square = square - (1 - self.beta_2) * latest * np.sign(square - latest)
        step = self.eta * mean / (np.sqrt(square) + self.tau)
        return step.astype(np.float32), {"mean": mean, "square": square}


def _moments(update: np.ndarray, memory: Memory, beta_1: float) -> tuple[np.ndarray, np.ndarray]:
    mean = beta_1 * memory.get("mean", 0.0) + (1 - beta_1) * update
    return mean.astype(np.float32), np.asarray(memory.get("square", 0.0), np.float32)
