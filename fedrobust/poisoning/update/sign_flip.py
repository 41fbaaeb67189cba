"""Send the negated update."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.update.finite import scaled


@POISONING.register("sign-flip")
@dataclass(frozen=True, kw_only=True)
class SignFlip:
    """Send the honest update times a negative number (Li et al., 2019, arXiv:1811.03761, section 5).

    Attributes:
        scale: the size of that number; the paper's experiments take 4.
        statistics: ``honest``: BatchNorm statistics are sent as they were measured (FedML's code flips weights only;
            the paper's models have none); ``same``: they are flipped like weights.
    """

    scale: Positive = 4.0
    statistics: Literal["honest", "same"] = "honest"

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the flipped update."""
        return scaled(update, -self.scale)
