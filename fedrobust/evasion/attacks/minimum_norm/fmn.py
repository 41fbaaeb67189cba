"""The fast minimum-norm attack (FMN): gradient ascent within an adaptive epsilon."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, Positive
from fedrobust.evasion.attacks.minimum_norm.hyperplane import steepness
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import (
    WAY_BACK,
    MinimumNormAttack,
    approach,
    take_back,
)
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import flat
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm, column, lengths

FIRST_CHANGE, LAST_CHANGE = 0.05, 0.001
"""The algorithm's gamma: relative change of epsilon in the first and in the last step."""
LAST_STEP = 0.01
"""Step size of the last step, as a share of the first."""


@ATTACKS.register("fmn")
@dataclass(frozen=True, kw_only=True)
class FastMinimumNorm(MinimumNormAttack):
    """Gradient ascent of the margin within an adaptive epsilon (Pintor et al., 2021, arXiv:2102.12827, Algorithm 1).

    Epsilon shrinks where the image is an adversary and grows where it is not; before the first adversary it is the
    distance to the linearised boundary, and a thousandth more. Step size and gamma follow a cosine decay. In l0 epsilon
    counts pixels, and changed pixels that the adversary does not need are then restored; in the other norms the
    adversary is refined along the boundary.

    Attributes:
        steps: gradient steps.
        step_size: of the first step, in l2.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l0")

    steps: Count = 200
    step_size: Positive = 1.0

    @property
    def passes(self) -> int:
        """One gradient a step, and the refinement."""
        return 2 * self.steps + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Ascend within the adapted epsilon, then refine."""
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
                # A little beyond: exactly on the boundary, rounding may keep an image right in every step.
                reach = (state.threat.distance(images, clean) + to_boundary) * (1 + LAST_CHANGE)
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
