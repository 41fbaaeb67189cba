"""Shares of a number of things, in whole numbers: 0.07 of 100 is 7, whatever floating point makes of it."""

import math
from fractions import Fraction


def exact(share: float) -> Fraction:
    """Return the fraction that a share's decimals mean.

    Example:
        >>> exact(0.07), exact(1 / 3)
        (Fraction(7, 100), Fraction(1, 3))
    """
    return Fraction(str(float(share))).limit_denominator(10**9)


def part_of(share: float, count: int) -> int:
    """Return a share of `count` things, rounded up.

    The floating-point product of 0.07 and 100 lies above 7, and would be rounded up to 8.

    Example:
        >>> part_of(0.07, 100), part_of(0.5, 7)
        (7, 4)
    """
    part = exact(share)
    return -(-part.numerator * count // part.denominator)


def round_half_up(value: Fraction) -> int:
    """Return the nearest whole number; halves go up, unlike Python's `round`.

    Example:
        >>> round_half_up(exact(0.145) * 100), round_half_up(exact(0.25) * 2)
        (15, 1)
    """
    return math.floor(value + Fraction(1, 2))


def sample_size(participation: float, clients: int) -> int:
    """Return how many of `clients` take part in a round: at least one.

    Example:
        >>> sample_size(0.145, 100), sample_size(0.001, 10)
        (15, 1)
    """
    return max(1, round_half_up(exact(participation) * clients))
