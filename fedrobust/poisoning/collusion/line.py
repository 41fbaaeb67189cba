"""Search along lines for the point with the highest score."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Trial = tuple[str, float]
"""The name of a line, and a step on it."""

NARROW = 1.25
"""Ratio of two steps from which the gap between them is looked at after others."""


@dataclass(frozen=True, eq=False)
class Line:
    """Points that are searched: ``base + step * direction``.

    Attributes:
        base: (d,) or (malicious, d) float32.
        direction: (d,) or (malicious, d) float32.
        steps: that are tried first, positive.
    """

    base: np.ndarray
    direction: np.ndarray
    steps: tuple[float, ...]

    def at(self, step: float) -> np.ndarray:
        """Return a point, (d,) or (malicious, d) float32.

        Example:
            >>> Line(np.array([1, 0], np.float32), np.array([0, 2], np.float32), ()).at(3.0).tolist()
            [1.0, 6.0]
        """
        return np.asarray(self.base + np.float32(step) * self.direction, np.float32)


def beside(scores: Mapping[Trial, float], least: float) -> Trial:
    """Return the next trial: a smaller step if none helped yet, else one in a gap beside the best.

    The gap above the best comes first, until it is narrow: a rule that rejects large deviations lets through the most
    just below its limit.

    Args:
        scores: of the trials so far, at least one.
        least: score above which a trial helps.

    Example:
        >>> beside({("a", 1.0): 2.0, ("a", 4.0): 0.0, ("b", 9.0): 1.0}, 0.0)
        ('a', 2.0)
        >>> beside({("a", 1.0): -2.0, ("a", 4.0): -3.0}, 0.0)
        ('a', 0.25)
    """
    # Of equal ones the smallest step.
    line, best = max(scores, key=lambda one: (scores[one], -one[1]))
    if scores[line, best] <= least:
        return line, min(step for each, step in scores if each == line) / 4
    others = [step for each, step in scores if each == line and step != best]
    below = max((one for one in others if one < best), default=best / 4)
    above = min((one for one in others if one > best), default=best)
    near = above if above > NARROW * best or above / best > best / below else below
    return line, float(np.sqrt(best * near))
