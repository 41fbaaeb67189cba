"""Sigma-zero: gradient descent on a differentiable approximation of the l0 norm."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, Positive, PositiveShare
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import WAY_BACK, MinimumNormAttack, take_back
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

SMOOTHNESS = 0.001
"""The method's sigma: a squared change of this size counts as half a pixel."""
ADJUSTMENT = 0.01
"""Its t: change of the threshold, as a share of the step size."""


@ATTACKS.register("sigma-zero")
@dataclass(frozen=True, kw_only=True)
class SigmaZero(MinimumNormAttack):
    """Minimise margin plus a smooth l0 norm by gradient descent (Cina et al., 2024, arXiv:2402.01879, Algorithm 1).

    The smooth norm is the mean of d^2 / (d^2 + sigma), where d^2 is a pixel's squared change over its channels. Adam
    takes gradients scaled to a largest value of 1. After every step changes below a threshold are set to 0; the
    threshold rises where the image is an adversary and falls where it is not. Changed pixels that the adversary does
    not need are then restored.

    Attributes:
        steps: gradient steps.
        step_size: of the first step; it decays to a tenth along a cosine.
        threshold: initial threshold below which changes are set to 0.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0",)

    steps: Count = 1000
    step_size: Positive = 1.0
    threshold: PositiveShare = 0.3

    @property
    def passes(self) -> int:
        """One gradient a step, and the refinement."""
        return 2 * self.steps + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Descend, then restore unneeded pixels."""
        clean = state.clean
        change = np.zeros_like(clean)
        mean, square = np.zeros(clean.shape), np.zeros(clean.shape)
        threshold, pixels = np.full(len(state), self.threshold), np.prod(clean.shape[1:3])
        for step in state.steps(self.steps):
            seen = state.gradient(clean + change, "margin")
            wrong = state.margins(seen.logits, state.labels) > 0
            squared = (change.astype(np.float64) ** 2).sum(axis=3, keepdims=True)
            count = 2 * change * SMOOTHNESS / (squared + SMOOTHNESS) ** 2 / pixels
            slope = count - np.where(wrong[:, None, None, None], 0.0, seen.gradients)
            slope = slope / np.maximum(np.abs(slope).max(axis=(1, 2, 3), keepdims=True), 1e-12)
            mean = 0.9 * mean + 0.1 * slope
            square = 0.999 * square + 0.001 * slope**2
            falling = 0.1 + 0.9 * (1 + math.cos(math.pi * max(step - 1, 0) / self.steps)) / 2
            rate = self.step_size * falling * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            moved = np.clip(clean + change - rate * mean / (np.sqrt(square) + 1e-8), 0.0, 1.0)
            change = (moved - clean).astype(np.float32)
            threshold = np.clip(
                threshold + np.where(wrong, 1, -1) * ADJUSTMENT * self.step_size * falling, 0, 1
            )
            large = np.abs(change).max(axis=3, keepdims=True) >= threshold[:, None, None, None]
            change = np.where(large, change, np.float32(0))
        state.query(clean + change)
        take_back(state)
