"""The fast minimum-norm attack: an epsilon that shrinks and grows with what is found in it."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, Positive
from fedrobust.evasion.attacks.minimum_norm.hyperplane import steepness
from fedrobust.evasion.attacks.minimum_norm.nearest import WAY_BACK, Nearest, approach, take_back
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import flat
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm, column, lengths

FIRST_CHANGE, LAST_CHANGE = 0.05, 0.001
"""The algorithm's gamma: the share by which epsilon changes, in the first step and in the last."""
LAST_STEP = 0.01
"""What is left of the step size at the last step."""


@ATTACKS.register("fmn")
@dataclass(frozen=True, kw_only=True)
class FastMinimumNorm(Nearest):
    """Step up the margin inside an epsilon that adapts (Pintor et al., 2021, arXiv:2102.12827, Algorithm 1).

    Epsilon shrinks where the image is an adversary and grows where it is not; before the first adversary it reaches as
    far as the linearised boundary. Both changes and the steps fall along a cosine. In l0 it counts pixels, and the
    adversary's pixels are then taken back one by one while it stays one; in the other norms it is brought nearer along
    the boundary.

    Attributes:
        steps: gradient steps.
        step_size: of the first step, in l2.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l0")

    steps: Count = 200
    step_size: Positive = 1.0

    @property
    def passes(self) -> int:
        """A gradient a step, and the way back."""
        return 2 * self.steps + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Climb while epsilon closes in on the nearest adversary."""
        norm, clean, images = state.threat.norm, state.clean, state.clean
        farthest = state.threat.distance(np.where(clean < 0.5, np.float32(1), np.float32(0)), clean)
        epsilon = np.ones(len(state)) if norm == "l0" else np.full(len(state), np.inf)
        for step in state.steps(self.steps):
            falling = (1 + math.cos(math.pi * step / self.steps)) / 2
            change = LAST_CHANGE + (FIRST_CHANGE - LAST_CHANGE) * falling
            seen = state.gradient(images, "margin")
            wrong = state.margins(seen.logits, state.labels) > 0
            best = np.minimum(state.found_distance, farthest)
            if norm == "l0":
                fewer = np.minimum(np.minimum(epsilon - 1, np.floor(epsilon * (1 - change))), best)
                more = np.maximum(epsilon + 1, np.floor(epsilon * (1 + change)))
                epsilon = np.maximum(np.where(wrong, fewer, more), 0)
            else:
                slopes = flat(seen.gradients)
                to_boundary = np.abs(np.nan_to_num(seen.losses)) / np.maximum(steepness(slopes, norm), 1e-12)
                reach = state.threat.distance(images, clean) + to_boundary
                outside = np.where(state.found, epsilon * (1 + change), reach)
                epsilon = np.where(wrong, np.minimum(epsilon * (1 - change), best), outside)
            epsilon = np.minimum(epsilon, farthest)
            length = self.step_size * (LAST_STEP + (1 - LAST_STEP) * falling)
            ahead = seen.gradients * column(length / np.maximum(lengths(seen.gradients), 1e-12))
            images = state.threat.project(np.clip(images + ahead, 0.0, 1.0), clean, epsilon)
        state.query(images)
        if norm == "l0":
            take_back(state)
        else:
            approach(state)
