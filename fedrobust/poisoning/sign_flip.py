"""Send the opposite of what was learnt."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.poisoning.attack import POISONING, Scene


@POISONING.register("sign-flip")
@dataclass(frozen=True, kw_only=True)
class SignFlip:
    """Send the honest update times a negative number (Li et al., 2019, arXiv:1811.03761, section 5).

    Attributes:
        scale: the size of that number; the paper's experiments take 4.
    """

    scale: Positive = 4.0

    def update(self, update: np.ndarray, scene: Scene) -> np.ndarray:
        """Return the flipped update."""
        return -np.float32(self.scale) * update
