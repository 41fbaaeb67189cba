"""Mean and interval of a metric over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Spread:
    """Mean and interval of a metric over seeds.

    Attributes:
        mean: over the seeds.
        low: lower limit of its 95 % interval (Student's t); None with one seed.
        high: upper limit.
        seeds: their number.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Return the spread of `values`, None if empty.

        Example:
            >>> spread = Spread.of([0.8, 0.9, 1.0])
            >>> round(spread.mean, 2), round(spread.low, 3), round(spread.high, 3)
            (0.9, 0.652, 1.148)
        """
        if not values:
            return None
        n, mean = len(values), sum(values) / len(values)
        if n == 1:
            return cls(mean, None, None, 1)
        from scipy.stats import t

        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
        reach = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
        return cls(mean, mean - reach, mean + reach, n)

    def within(self, low: float, high: float) -> "Spread":
        """Return it with its interval cut at the ends of the range of its metric.

        Example:
            >>> Spread.of([0.8, 0.9, 1.0]).within(0, 1).high, Spread.of([0.5]).within(0, 1).high
            (1, None)
        """
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, low), high=min(self.high, high))


def share_limits(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of shares over seeds, None with one seed.

    An interval that exceeds 0 to 1, which no share does, is replaced by the smallest and the largest value.

    Example:
        >>> share_limits([0.2, 0.9, 1.0]), share_limits([0.8])
        ((0.2, 1.0), None)
    """
    spread = Spread.of(values)
    if spread is None or spread.low is None or spread.high is None:
        return None
    is_share = spread.low >= 0 and spread.high <= 1
    return (spread.low, spread.high) if is_share else (min(values), max(values))


def seeds_apart(spread: Spread, values: Sequence[float]) -> str:
    """Return the spread over seeds as text, in percent: two values, or the 95 % interval of the mean of more.

    An interval that exceeds 0 to 100 % is replaced by the smallest and the largest value.

    Example:
        >>> seeds_apart(Spread.of([0.5, 0.6]), [0.5, 0.6])
        'seeds 50.0, 60.0'
        >>> seeds_apart(Spread.of([0.8, 0.82, 0.84]), [0.8, 0.82, 0.84])
        '77.0–87.0'
        >>> seeds_apart(Spread.of([0.2, 0.9, 1.0]), [0.2, 0.9, 1.0])
        'seeds 20.0 to 100.0'
    """
    if spread.low is None or spread.high is None:
        return ""
    if spread.seeds == 2:
        return "seeds " + ", ".join(f"{100 * value:.1f}" for value in values)
    low, high = share_limits(values) or (spread.low, spread.high)
    if (low, high) != (spread.low, spread.high):
        return f"seeds {100 * low:.1f} to {100 * high:.1f}"
    return f"{100 * low:.1f}–{100 * high:.1f}"
