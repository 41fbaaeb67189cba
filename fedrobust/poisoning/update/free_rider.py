"""Take part without training."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import NonNegative
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.update.finite import scaled


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
    discards_training = True
    replaces = True

    @property
    def final(self) -> bool:
        """Whether nothing can be made of what it sends."""
        return not self.noise

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return noise, or nothing."""
        if not self.noise:
            return np.zeros_like(update)
        noise = context.generator.standard_normal(update.shape, dtype=np.float32)
        return scaled(noise, self.noise * math.exp(-self.decay * math.log(context.round)))


@POISONING.register("zero")
@dataclass(frozen=True, kw_only=True)
class Zero:
    """Send weights that are all zero, as the attack "zero" of FedML (He et al., 2020, arXiv:2007.13518).

    Attributes:
        statistics: ``honest``: BatchNorm statistics are sent as they came (FedML's code leaves them out); ``same``:
            they are zero, too.
    """

    statistics: Literal["honest", "same"] = "honest"

    trains = False
    discards_training = True
    replaces = True

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return what leads from the global weights to zero."""
        return -update if context.current is None else -context.current
