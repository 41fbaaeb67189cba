"""Send noise."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.update.finite import scaled
from fedrobust.vectors import length


@POISONING.register("gaussian")
@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Send Gaussian noise in place of the update (Blanchard et al., NeurIPS 2017, section 7).

    Attributes:
        scale: length of the noise, as a multiple of the honest update's.
        statistics: ``honest``: BatchNorm statistics are sent as they were measured, the paper's noise being one of
            gradients; ``same``: they, too, become noise.
    """

    scale: Positive = 10.0
    statistics: Literal["honest", "same"] = "honest"

    discards_training = True

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the noise; nothing where the honest update is nothing."""
        noise = context.generator.standard_normal(update.shape, dtype=np.float32)
        wanted = self.scale * length(update)
        return scaled(noise, wanted / length(noise))
