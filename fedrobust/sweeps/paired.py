"""Paired comparisons over seeds: the difference, its interval, the t test, and Holm's correction for several."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedrobust.sweeps.spread import Spread

SAME = 1e-9
"""Differences closer than this are the same: they are apart by rounding."""

LEAST_P = 0.001
"""No smaller p is written out: the t test of a few seeds does not tell them apart."""


@dataclass(frozen=True)
class Paired:
    """Two rules on the same seeds, each seed with its mean over the settings that both have.

    Attributes:
        rule: the one of the better mean rank.
        other: the other one.
        seeds: number of pairs.
        difference: mean over seeds of `rule` minus `other`.
        low: lower limit of its 95 % interval (Student's t); None with one seed.
        high: upper limit.
        p: of the paired t test; None with fewer than three seeds, of which no test is worth its name, and where all
            differences are the same.
        adjusted: the same after Holm's correction for all pairs.
    """

    rule: str
    other: str
    seeds: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None = None

    def within(self, reach: float) -> "Paired":
        """Return it with its interval cut at minus and plus `reach`: no difference of two values is larger.

        Example:
            >>> cut = Paired("a", "b", 2, 0.5, -0.4, 1.4, None).within(1.0)
            >>> cut.low, cut.high
            (-0.4, 1.0)
        """
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, -reach), high=min(self.high, reach))


def paired(rule: str, other: str, values: Mapping[str, Mapping[str, Mapping[Any, float]]]) -> Paired:
    """Return two rules on the same seeds."""
    seeds: dict[Any, list[float]] = {}
    for setting in values.values():
        one, two = setting.get(rule, {}), setting.get(other, {})
        for seed in one:
            if seed in two:
                seeds.setdefault(seed, []).append(one[seed] - two[seed])
    # A seed counts where it has as many settings as the others: else a missing cell would look like a difference.
    most = max(map(len, seeds.values()), default=0)
    differences = [sum(each) / len(each) for each in seeds.values() if len(each) == most]
    spread = Spread.of(differences)
    if spread is None:
        return Paired(rule, other, 0, math.nan, None, None, None)
    p = t_test(differences) if len(differences) > 2 else None
    return Paired(rule, other, spread.seeds, spread.mean, spread.low, spread.high, p)


def t_test(differences: Sequence[float]) -> float | None:
    """Return the two-sided p of the paired t test; 1 where all differences are 0, None where all are another number.

    Such differences do not tell how they vary: accuracies on few images can agree by chance, and p would be 0.

    Example:
        >>> round(t_test([0.1, 0.2, 0.3]), 3)
        0.074
    """
    from scipy.stats import t

    n = len(differences)
    mean, deviation = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if deviation < SAME:
        return 1.0 if abs(mean) < SAME else None
    return float(2 * t.sf(abs(mean) / deviation * math.sqrt(n), n - 1))


def holm(pairs: Sequence[Paired]) -> tuple[Paired, ...]:
    """Return pairs with p corrected for their number (Holm, 1979)."""
    tested = sorted((one.p, place) for place, one in enumerate(pairs) if one.p is not None)
    found, largest = list(pairs), 0.0
    for step, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - step)))
        found[place] = replace(pairs[place], adjusted=largest)
    return tuple(found)


def text_of_p(p: float) -> str:
    """Return a p as text.

    Example:
        >>> text_of_p(0.0342), text_of_p(0.0), text_of_p(1.0)
        ('0.034', '< 0.001', '1')
    """
    return f"{p:.2g}" if p >= LEAST_P else f"< {LEAST_P}"
