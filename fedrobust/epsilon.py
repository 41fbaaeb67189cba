"""Epsilon, the size of the threat model, written as a number or as a fraction."""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TypeVar

from fedrobust.errors import ConfigError

Of = TypeVar("Of")

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_FORM = re.compile(rf"\s*(?P<above>{_NUMBER})\s*(?:/\s*(?P<below>{_NUMBER})\s*)?")

LONGEST = 64
"""Largest number of characters of an epsilon; a float has no more digits."""

LEVEL = 1 / 255
"""One grey level of an 8-bit image."""


def epsilon_value(epsilon: float | str) -> float:
    """Return an epsilon as a number, written as a number or as a fraction such as ``"8/255"``.

    Raises:
        ConfigError: it is neither, or no finite number.

    Example:
        >>> epsilon_value("8/255") == 8 / 255, epsilon_value("0.5/255") == 0.5 / 255, epsilon_value(0.001)
        (True, True, 0.001)
        >>> epsilon_value("8/255/3")
        Traceback (most recent call last):
        fedrobust.errors.ConfigError: '8/255/3': an epsilon is a finite number or one fraction, such as "8/255"
    """
    number = _read(epsilon)
    if number is None or not math.isfinite(number):
        raise ConfigError(
            f'{shortened(epsilon)}: an epsilon is a finite number or one fraction, such as "8/255"'
        )
    return number


def ascending(curve: Mapping[str, Of]) -> list[tuple[str, Of]]:
    """Return what a curve holds at each epsilon, the smallest first: a study may name them in any order.

    Example:
        >>> ascending({"0.005": "b", "8/255": "c", "0.5/255": "a"})
        [('0.5/255', 'a'), ('0.005', 'b'), ('8/255', 'c')]
    """
    return sorted(curve.items(), key=lambda one: epsilon_value(one[0]))


def _read(epsilon: object) -> float | None:
    """Return the number, None if it cannot be read."""
    try:
        if not isinstance(epsilon, str):
            is_number = isinstance(epsilon, int | float) and not isinstance(epsilon, bool)
            return float(epsilon) if is_number else None  # type: ignore[arg-type]
        # Only what is short is read: of an exponent with eight digits, a fraction would write out every zero.
        form = _FORM.fullmatch(epsilon) if len(epsilon) <= LONGEST else None
        return float(Fraction(form["above"]) / Fraction(form["below"] or 1)) if form else None
    except (OverflowError, ZeroDivisionError):
        return None


def shortened(value: object, most: int = 80) -> str:
    """Return how Python writes `value`, cut to about `most` letters."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 4 :]}"
