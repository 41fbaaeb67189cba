"""A lower bound of epsilon from canaries that are each in or out of one run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, expit

from fedrobust.leakage.confidence import Floats

MOST_EPSILON = 50.0
"""Largest bound that is looked for: the probability of a wrong guess is then 2e-22."""


@dataclass(frozen=True)
class Guesses:
    """An auditor's guesses of which canaries were included.

    Attributes:
        canaries: all of them, each included independently with probability one half.
        made: guesses; the auditor abstains on the others.
        right: of these.
    """

    canaries: int
    made: int
    right: int


def guesses(scores: Floats, included: NDArray[np.bool_], made: int) -> Guesses:
    """Guess "in" for the half of `made` with the highest scores, "out" for the half with the lowest.

    Args:
        scores: of the canaries, (m,).
        included: (m,).
        made: even, at most m; fixed before the scores are seen.

    Example:
        >>> guesses(np.array([3.0, -2.0, 0.1, 2.0]), np.array([True, False, False, False]), made=2)
        Guesses(canaries=4, made=2, right=2)
    """
    order, half = np.argsort(scores, kind="stable"), made // 2
    right = int(included[order[len(order) - half :]].sum()) + int((~included[order[:half]]).sum())
    return Guesses(len(scores), 2 * half, right)


def p_value(found: Guesses, epsilon: float, delta: float) -> float:
    """Return an upper bound of the probability of as many right guesses of an (epsilon, delta)-private mechanism.

    With q = 1 / (1 + exp(-epsilon)) and W binomial (r, q) it is P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i
    (Steinke, Nasr and Jagielski, 2023, arXiv:2305.08846, Theorem 5.2 and appendix D).

    Args:
        found: m canaries, r guesses, v right ones.
        epsilon: of the mechanism.
        delta: of the mechanism.

    Example:
        >>> round(p_value(Guesses(10, 10, 10), epsilon=0.0, delta=0.0) * 1024, 6)
        1.0
    """
    r, v = found.made, found.right
    if v <= 0:
        return 1.0
    q = float(expit(epsilon))
    # bdtr(k) = P[W <= k], and bdtrc(k) = P[W > k].
    tail = float(bdtrc(v - 1, r, q))
    if delta == 0:
        return min(1.0, tail)
    steps = np.arange(1, v + 1)
    below = bdtr(v - 1, r, q) - np.where(v - steps > 0, bdtr(np.maximum(v - steps - 1, 0), r, q), 0.0)
    return min(1.0, tail + 2 * found.canaries * delta * float(np.max(below / steps)))


def lower_bound(found: Guesses, delta: float, confidence: float = 0.95) -> float:
    """Return the largest epsilon that the guesses refute at a confidence: the mechanism has none below it.

    Args:
        found: the guesses.
        delta: of the claim.
        confidence: probability that the bound is right.

    Example:
        >>> round(lower_bound(Guesses(100, 100, 100), delta=0.0), 3)  # q^100 = .05
        3.493
        >>> lower_bound(Guesses(100, 100, 50), delta=0.0)
        0.0
    """
    low, high = 0.0, MOST_EPSILON
    if p_value(found, low, delta) > 1 - confidence:
        return 0.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        if p_value(found, middle, delta) <= 1 - confidence:
            low = middle
        else:
            high = middle
    return low
