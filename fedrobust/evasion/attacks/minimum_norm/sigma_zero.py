"""Sigma-zero: few pixels by gradient descent on a smooth count of them."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, Positive, PositiveShare
from fedrobust.evasion.attacks.minimum_norm.nearest import WAY_BACK, Nearest, take_back
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

SMOOTHNESS = 0.001
"""The method's sigma: a squared change of this size counts as half a pixel."""
ADJUSTMENT = 0.01
"""Its t: what the threshold moves by, as a share of the step size."""


@ATTACKS.register("sigma-zero")
@dataclass(frozen=True, kw_only=True)
class SigmaZero(Nearest):
    """Descend margin plus a smooth count of changed pixels (Cina et al., 2024, arXiv:2402.01879, Algorithm 1).

    The count is the mean of d^2 / (d^2 + sigma), d^2 a pixel's squared change over its channels. Adam on
    gradients scaled to a largest value of 1; after every step changes below a threshold are set to 0, which rises
    where the image is an adversary and falls where it is not. The adversary's pixels are then taken back one by one
    while it stays one.

    Attributes:
        steps: gradient steps.
        step_size: of the first step; it falls to a tenth along a cosine.
        threshold: changes below it are set to 0, at the start.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0",)

    steps: Count = 1000
    step_size: Positive = 1.0
    threshold: PositiveShare = 0.3

    @property
    def passes(self) -> int:
        """A gradient a step, and the way back."""
        return 2 * self.steps + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Descend, and take back what was not needed."""
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
