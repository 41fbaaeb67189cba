"""Min-Max and Min-Sum: the largest deviation from the mean within the spread of honest updates."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.poisoning.collusion.statistics import mean_and_deviation
from fedrobust.poisoning.context import CollusionContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.vectors import inner, length


@dataclass(frozen=True, kw_only=True)
class _Farthest:
    direction: Literal["deviation", "mean", "sign"] = "deviation"

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        mean, deviation = mean_and_deviation(honest)
        if self.direction == "deviation":
            direction = -deviation
        elif self.direction == "mean":
            direction = -mean / np.float32(length(mean) or 1.0)
        else:
            direction = -np.sign(mean)
        # |mean + g p - x_i|^2 = |x_i - mean|^2 - 2 g p.(x_i - mean) + g^2 |p|^2: three numbers a client.
        apart = honest.distances_to(mean) ** 2
        along = honest.inner_with(direction) - inner(mean, direction)
        square = inner(direction, direction)
        gamma = self.strength(apart, along, square, honest.squared[:-1, :-1])
        return mean + np.float32(gamma) * direction

    def strength(self, apart: np.ndarray, along: np.ndarray, square: float, between: np.ndarray) -> float:
        """Return the largest gamma that the honest updates' own spread lets one go.

        Args:
            apart: their squared distances to the mean (n,).
            along: inner products of their differences from the mean with the direction (n,).
            square: squared length of the direction.
            between: squared distances among them (n, n).
        """
        raise NotImplementedError


@POISONING.register("min-max")
@dataclass(frozen=True, kw_only=True)
class MinMax(_Farthest):
    """Stay as near to every honest update as the two farthest honest ones are (Shejwalkar, NDSS 2021, equation 8).

    Attributes:
        direction: ``deviation``: against the standard deviations; ``mean``: against the unit vector of the mean;
            ``sign``: against its signs.
    """

    def strength(self, apart: np.ndarray, along: np.ndarray, square: float, between: np.ndarray) -> float:
        """Return the gamma at which the first squared distance to an honest update reaches the largest among them."""
        limit = float(between.max())
        return min(largest(float(a), float(b), square, limit) for a, b in zip(apart, along, strict=True))


@POISONING.register("min-sum")
@dataclass(frozen=True, kw_only=True)
class MinSum(_Farthest):
    """Keep the sum of squared distances under the largest of an honest update (Shejwalkar, NDSS 2021, equation 9).

    Attributes:
        direction: ``deviation``: against the standard deviations; ``mean``: against the unit vector of the mean;
            ``sign``: against its signs.
    """

    def strength(self, apart: np.ndarray, along: np.ndarray, square: float, between: np.ndarray) -> float:
        """Return the gamma at which the sum of squared distances reaches the largest of an honest update."""
        limit = float(between.sum(1).max())
        return largest(float(apart.sum()), float(along.sum()), len(apart) * square, limit)


def largest(constant: float, linear: float, square: float, limit: float) -> float:
    """Return the largest g with ``constant - 2 linear g + square g^2 <= limit``; 0 where none is positive, or all are.

    Example:
        >>> largest(1.0, 0.0, 4.0, 5.0)
        1.0
    """
    root = linear**2 - square * (constant - limit)
    if square <= 0 or root <= 0:
        return 0.0
    return max(0.0, (linear + math.sqrt(root)) / square)
