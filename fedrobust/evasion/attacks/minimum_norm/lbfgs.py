"""L-BFGS: a box-constrained quasi-Newton minimum-norm attack."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, Positive
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import WAY_BACK, MinimumNormAttack, approach
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import flat, likeliest_wrong
from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images

ENOUGH = 1e-4
"""Armijo's constant: least decrease of the objective in a step, as a share of the linear prediction."""


@ATTACKS.register("lbfgs")
@dataclass(frozen=True, kw_only=True)
class LBFGS(MinimumNormAttack):
    """Minimise the l2 norm by limited-memory BFGS (Szegedy et al., 2013, arXiv:1312.6199, section 4.1).

    Minimises |r|^2 + c loss(x + r, target) within [0, 1], with c found by bisection on a logarithmic scale. The target
    is the likeliest wrong class, the loss its cross-entropy; steps are projected onto the box, with Armijo
    backtracking.

    Attributes:
        steps: evaluations of the objective for each c.
        searches: number of values of c.
        constant: the first value of c.
        memory: pairs of steps and gradient differences kept.
    """

    steps: Count = 50
    searches: Count = 9
    constant: Positive = 1.0
    memory: Count = 8

    @property
    def passes(self) -> int:
        """One gradient a step for each c, and the refinement."""
        return 2 * self.searches * (self.steps + 1) + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Minimise for one c after another."""
        n = len(state)
        aims = likeliest_wrong(state, 1)[:, 0]
        low, high, constant = np.zeros(n), np.full(n, np.inf), np.full(n, self.constant)
        for _ in range(self.searches):
            start = np.where(state.found[:, None, None, None], state.best, state.clean)
            won = self.descend(state, aims, constant, start)
            high, low = np.where(won, constant, high), np.where(won, low, constant)
            middle = np.sqrt(np.maximum(low, high / 100) * high)
            constant = np.where(np.isfinite(high), middle, constant * 10)
        approach(state)

    def descend(
        self, state: SearchState, aims: Labels, constant: NDArray[np.float64], start: Images
    ) -> NDArray[np.bool_]:
        """Minimise from `start` with `constant` (n,), one an image; return which images became adversaries, (n,)."""
        n, clean = len(state), flat(state.clean)

        def objective(
            x: NDArray[np.float64],
        ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
            seen = state.gradient(x.reshape(start.shape).astype(np.float32), "targeted-cross-entropy", aims)
            odds = seen.losses.astype(np.float64)
            slope = flat(seen.gradients)
            value = ((x - clean) ** 2).sum(axis=1) + constant * np.logaddexp(0.0, -odds)
            share = constant / (1.0 + np.exp(np.clip(odds, -500, 500)))
            wrong = state.margins(seen.logits, state.labels) > 0
            return value, 2 * (x - clean) - share[:, None] * slope, wrong

        x = flat(start)
        value, slope, won = objective(x)
        pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        direction = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
        length, stuck = np.ones(n), np.zeros(n, bool)
        for _ in state.steps(self.steps):
            trial = np.clip(x + length[:, None] * direction, 0.0, 1.0)
            now, there, wrong = objective(trial)
            promised = (slope * (trial - x)).sum(axis=1)
            taken = (now <= value + ENOUGH * promised) & ~stuck
            won = np.where(taken, wrong, won)
            step = np.where(taken[:, None], trial - x, 0.0)
            turn = np.where(taken[:, None], there - slope, 0.0)
            x, value = x + step, np.where(taken, now, value)
            slope = slope + turn
            pairs = [*pairs, (step, turn)][-self.memory :]
            newer = _two_loops(slope, pairs)
            downhill = (newer * slope).sum(axis=1) < 0
            newer = np.where(downhill[:, None], newer, -slope)
            direction = np.where(taken[:, None], newer, direction)
            length = np.where(taken, 1.0, length / 2)
            # The line search of each image ends independently of the others.
            stuck |= length < 1e-6
            if stuck.all():
                break
        return won


def _two_loops(
    slope: NDArray[np.float64], pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Return minus the estimated inverse Hessian times the gradient, row by row (Nocedal, 1980, two-loop recursion).

    Pairs without positive curvature, or of a rejected step, are ignored in their row.
    """
    q = slope.copy()
    factors = []
    for step, turn in reversed(pairs):
        curvature = (step * turn).sum(axis=1)
        good = curvature > 1e-12
        rho = np.where(good, 1.0 / np.where(good, curvature, 1.0), 0.0)
        alpha = rho * (step * q).sum(axis=1)
        q -= alpha[:, None] * turn
        factors.append((rho, alpha))
    scale = np.ones(len(slope))
    for step, turn in pairs:
        curvature, bend = (step * turn).sum(axis=1), (turn * turn).sum(axis=1)
        good = curvature > 1e-12
        scale = np.where(good, curvature / np.where(good, bend, 1.0), scale)
    q *= scale[:, None]
    for (step, turn), (rho, alpha) in zip(pairs, reversed(factors), strict=True):
        q += (alpha - rho * (turn * q).sum(axis=1))[:, None] * step
    return -q
