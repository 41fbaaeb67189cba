"""Send noise."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.poisoning.attack import POISONING, Scene


@POISONING.register("gaussian")
@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Send Gaussian noise in place of the update (Blanchard et al., NeurIPS 2017, section 7).

    Attributes:
        scale: length of the noise, as a multiple of the honest update's.
    """

    scale: Positive = 10.0

    def update(self, update: np.ndarray, scene: Scene) -> np.ndarray:
        """Return the noise."""
        noise = scene.generator.standard_normal(update.shape, dtype=np.float32)
        wanted = self.scale * float(np.linalg.norm(update.astype(np.float64)))
        return noise * np.float32(wanted / float(np.linalg.norm(noise.astype(np.float64))))
