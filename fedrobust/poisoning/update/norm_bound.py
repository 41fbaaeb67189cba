"""Scale the update to a given norm, to evade norm-based defences."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.update.finite import scaled
from fedrobust.vectors import length


@POISONING.register("norm-bound")
@dataclass(frozen=True, kw_only=True)
class NormBound:
    """Shorten or stretch the update to a length (Sun et al., 2019, arXiv:1911.07963, section 3).

    Behind a backdoor it makes the norm-bounded backdoor: ``"pixel-backdoor + norm-bound(norm=2.0)"``. What honest
    clients send is as long as the round's record says. BatchNorm statistics are sent as they were measured: norms and
    defences are those of trainable weights.

    Attributes:
        norm: that length, in the units of updates.
        stretch: also lengthen shorter updates.
    """

    norm: Positive = 1.0
    stretch: bool = False

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the update with its new length."""
        own = length(update)
        if not own or (own <= self.norm and not self.stretch):
            return update
        return scaled(update, self.norm / own)
