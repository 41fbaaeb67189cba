"""Send NaN and infinite values."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import PositiveShare
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING


@POISONING.register("not-finite")
@dataclass(frozen=True, kw_only=True)
class NotFinite:
    """Send NaN or infinity, which a mean would pass on to everybody: this project's.

    Attributes:
        value: ``nan`` or ``inf``.
        share: of the coordinates, at least one.
    """

    value: Literal["nan", "inf"] = "nan"
    share: PositiveShare = 1.0

    refused = True

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the update with the value in it."""
        update = update.copy()
        count = max(1, int(self.share * len(update)))
        update[:count] = np.float32(self.value)
        return update
