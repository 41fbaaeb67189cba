"""Carlini and Wagner's attack: a minimum-norm adversary by gradient descent."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Count, Positive
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import WAY_BACK, MinimumNormAttack, approach
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import column

SETTLING = 0.005
"""Learning rate of the last step, as a share of the first."""


@ATTACKS.register("carlini-wagner")
@dataclass(frozen=True, kw_only=True)
class CarliniWagner(MinimumNormAttack):
    """Minimise the l2 norm by gradient descent (Carlini and Wagner, 2016, arXiv:1608.04644, section V).

    Minimises |x' - x|^2 + c max(z_y - max z_other, 0) with Adam, over w with x' = (tanh w + 1) / 2; c is found by
    bisection. The loss is the paper's f6 with confidence 0.

    Attributes:
        steps: gradient steps for each c.
        searches: number of values of c.
        constant: the first value of c.
        learning_rate: of Adam, on w.
    """

    steps: Count = 100
    searches: Count = 9
    constant: Positive = 1.0
    learning_rate: Positive = 0.05

    @property
    def passes(self) -> int:
        """One gradient a step for each c, and the refinement."""
        return self.searches * (2 * self.steps + 1) + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Minimise for one c after another."""
        n = len(state)
        low, high, constant = np.zeros(n), np.full(n, np.inf), np.full(n, self.constant)
        for _ in range(self.searches):
            won = self.descend(state, constant)
            high, low = np.where(won, constant, high), np.where(won, low, constant)
            constant = np.where(np.isfinite(high), (low + high) / 2, constant * 10)
        approach(state)

    def descend(self, state: SearchState, constant: np.ndarray) -> np.ndarray:
        """Minimise with `constant` (n,), one an image; return for which images an adversary was found, (n,)."""
        # A pixel of exactly 0 or 1 has no finite w.
        start = np.clip(state.clean.astype(np.float64), 1e-6, 1 - 1e-6)
        w = np.arctanh(2 * start - 1)
        mean, square = np.zeros_like(w), np.zeros_like(w)
        won = np.zeros(len(state), bool)
        for step in state.steps(self.steps):
            wave = np.tanh(w)
            images = (wave + 1) / 2
            seen = state.gradient(images.astype(np.float32), "margin")
            margin = state.margins(seen.logits, state.labels)
            won |= margin > 0
            pushing = margin <= 0
            change = images - state.clean
            slope = 2 * change - column(constant * pushing) * seen.gradients
            slope = slope * (1 - wave**2) / 2
            mean = 0.9 * mean + 0.1 * slope
            square = 0.999 * square + 0.001 * slope**2
            # Adam's step size does not shrink with the gradient: the learning rate has to decrease for convergence.
            falling = self.learning_rate * SETTLING ** (step / self.steps)
            rate = falling * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            w = w - rate * mean / (np.sqrt(square) + 1e-8)
        return won
