"""Take part without training."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import NonNegative
from fedrobust.poisoning.attack import POISONING, Scene


@POISONING.register("free-rider")
@dataclass(frozen=True, kw_only=True)
class FreeRider:
    """Return the global model as it came, disguised by noise if asked for (Fraboni et al., 2020, arXiv:2006.11901).

    Attributes:
        noise: standard deviation of the noise on every weight.
        decay: how fast the noise falls over the rounds: it is divided by round ** decay (the paper's gamma).
    """

    noise: NonNegative = 0.0
    decay: NonNegative = 1.0

    trains = False

    def update(self, update: np.ndarray, scene: Scene) -> np.ndarray:
        """Return noise, or nothing."""
        if not self.noise:
            return np.zeros_like(update)
        noise = scene.generator.standard_normal(update.shape, dtype=np.float32)
        return noise * np.float32(self.noise / scene.round**self.decay)


@POISONING.register("zero")
@dataclass(frozen=True, kw_only=True)
class Zero:
    """Send weights that are all zero."""

    trains = False

    def update(self, update: np.ndarray, scene: Scene) -> np.ndarray:
        """Return what leads from the global weights to zero."""
        return -update if scene.current is None else -scene.current
