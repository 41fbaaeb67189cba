"""Go as far from the mean as the honest clients' own spread lets one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.poisoning.attack import POISONING, Conspiracy
from fedrobust.poisoning.statistics import mean_and_deviation


@dataclass(frozen=True, kw_only=True)
class _Farthest:
    direction: Literal["deviation", "mean", "sign"] = "deviation"

    def coalition(self, honest: Updates, scene: Conspiracy) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        mean, deviation = mean_and_deviation(honest)
        if self.direction == "deviation":
            direction = -deviation
        elif self.direction == "mean":
            direction = -mean / np.float32(np.linalg.norm(mean.astype(np.float64)) or 1.0)
        else:
            direction = -np.sign(mean)
        # |mean + g p - x_i|^2 = |x_i - mean|^2 - 2 g p.(x_i - mean) + g^2 |p|^2: three numbers a client.
        apart = honest.distances_to(mean) ** 2
        along = honest.inner_with(direction) - float(mean.astype(np.float64) @ direction)
        square = float(direction.astype(np.float64) @ direction)

        def squared(gamma: float) -> np.ndarray:
            return apart - 2 * gamma * along + gamma**2 * square

        limit = self.limit(honest.squared[:-1, :-1])
        gamma = largest(lambda gamma: self.measure(squared(gamma)) <= limit)
        return mean + np.float32(gamma) * direction

    def limit(self, squared: np.ndarray) -> float:
        """Return what the honest updates keep to among themselves."""
        raise NotImplementedError

    def measure(self, squared: np.ndarray) -> float:
        """Return the same of the malicious update."""
        raise NotImplementedError


@POISONING.register("min-max")
@dataclass(frozen=True, kw_only=True)
class MinMax(_Farthest):
    """Stay as near to every honest update as the two farthest honest ones are (Shejwalkar, NDSS 2021, equation 8).

    Attributes:
        direction: ``deviation``: against the standard deviations; ``mean``: against the unit vector of the mean;
            ``sign``: against its signs.
    """

    def limit(self, squared: np.ndarray) -> float:
        """Return the largest squared distance between two honest updates."""
        return float(squared.max())

    def measure(self, squared: np.ndarray) -> float:
        """Return the largest squared distance to an honest update."""
        return float(squared.max())


@POISONING.register("min-sum")
@dataclass(frozen=True, kw_only=True)
class MinSum(_Farthest):
    """Keep the sum of squared distances under the largest of an honest update (Shejwalkar, NDSS 2021, equation 9).

    Attributes:
        direction: ``deviation``: against the standard deviations; ``mean``: against the unit vector of the mean;
            ``sign``: against its signs.
    """

    def limit(self, squared: np.ndarray) -> float:
        """Return the largest sum of squared distances from an honest update to the others."""
        return float(squared.sum(1).max())

    def measure(self, squared: np.ndarray) -> float:
        """Return the sum of squared distances to the honest updates."""
        return float(squared.sum())


def largest(allowed: Callable[[float], bool]) -> float:
    """Return the largest number that is allowed, where all smaller ones are, to 1e-6 of its size.

    Example:
        >>> round(largest(lambda gamma: gamma <= 12.5), 3)
        12.5
    """
    high = 1.0
    while allowed(high) and high < 1e12:
        high *= 2
    low = 0.0
    while high - low > 1e-6 * high and high > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low
