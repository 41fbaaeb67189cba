"""Send more of the same."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Real
from fedrobust.poisoning.attack import POISONING, Scene


@POISONING.register("scaling")
@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Multiply the update.

    Attributes:
        factor: what it is multiplied by.
    """

    factor: Real = 10.0

    def update(self, update: np.ndarray, scene: Scene) -> np.ndarray:
        """Return the scaled update."""
        return np.float32(self.factor) * update


@POISONING.register("model-replacement")
@dataclass(frozen=True, kw_only=True)
class ModelReplacement:
    """Scale the update so that the mean becomes the attacker's model (Bagdasaryan et al., 2018, arXiv:1807.00459).

    The factor is the number of clients of a round over that of the malicious ones. Put it behind what the model is to
    learn: ``"pixel-backdoor + model-replacement"``.
    """

    def update(self, update: np.ndarray, scene: Scene) -> np.ndarray:
        """Return the scaled update."""
        return np.float32(scene.clients / max(1, scene.malicious)) * update
