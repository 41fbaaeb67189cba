"""A figure as plain data, with no more digits than can be seen."""

from typing import Any

DIGITS = 5
"""Significant ones: half a pixel in 50,000."""


def rounded(value: Any) -> Any:
    """Return plain data, as in ``figure.to_plotly_json()``, with its floats rounded to `DIGITS` significant digits.

    Example:
        >>> rounded({"y": [0.123456789, 1 / 3, 2], "name": "clean"})
        {'y': [0.12346, 0.33333, 2], 'name': 'clean'}
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: rounded(held) for name, held in value.items()}
    return [rounded(held) for held in value] if isinstance(value, list | tuple) else value
