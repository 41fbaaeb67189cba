"""Random noise: the baseline of every attack."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.kernels import random_start
from fedrobust.evasion.rng import apart, uniform
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm


@ATTACKS.register("noise")
@dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """Random images within epsilon, half of them at its corners (Carlini et al., 2019, arXiv:1902.06705, section 4).

    Attributes:
        draws: number of random images.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    white_box: ClassVar[bool] = False
    multilabel: ClassVar[bool] = True

    draws: Count = 100

    @property
    def passes(self) -> int:
        """One for each draw."""
        return self.draws

    def run(self, state: SearchState) -> None:
        """Query one random image after another."""
        for draw in state.steps(self.draws):
            keys = apart(state.keys, draw)
            if draw % 2 and state.threat.norm == "linf":
                signs = np.where(uniform(keys, 0, state.clean.shape[1:]) < 0.5, -1.0, 1.0)
                images = state.clean + np.float32(state.epsilon) * signs.astype(np.float32)
            else:
                images = random_start(state, keys)
            state.query(images)
            state.keep()
