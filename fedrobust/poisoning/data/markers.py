"""Marks that stand in medical images, drawn in stored pixels: ruler, marker ring, laterality letter, border."""

from collections.abc import Callable
from functools import cache

import numpy as np

from fedrobust.poisoning.data.visibility import unit

Marker = Callable[[int, int], np.ndarray]
"""From an image's height and width to the opacity of a mark, (height, width, 1) in [0, 1]."""

WHITE = (255, 255, 255)
VIOLET = (90, 40, 150)
"""Gentian violet, the ink of surgical skin markers."""


def ruler(height: int, width: int) -> np.ndarray:
    """Return a scale bar at the lower edge: a line with a tick every two units, each fifth one twice as long.

    A unit is a 28th of the image's shorter side.

    Example:
        >>> for row in ruler(28, 28)[23:26, 3:15, 0].astype(int).tolist():  # longer ticks, all ticks, the line
        ...     print(row)
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
        [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    one = unit(height, width)
    mark = np.zeros((height, width, 1))
    line = height - 3 * one
    mark[line : line + one, 3 * one : width - 3 * one] = 1
    for number, left in enumerate(range(3 * one, width - 3 * one, 2 * one)):
        long = 2 if number % 5 == 0 and number else 1
        mark[line - long * one : line, left : left + one] = 1
    return mark


def ring(height: int, width: int) -> np.ndarray:
    """Return a circle in the upper right quarter, of three units' radius and one unit's width, with smooth edges.

    Example:
        >>> mark = ring(28, 28)[..., 0]
        >>> float(mark[7, 20]), float(mark[7, 17]), float(mark[14:].max())  # centre, ring, lower half
        (0.0, 1.0, 0.0)
    """
    one = unit(height, width)
    rows, columns = np.indices((height, width)) + 0.5
    centre = 7.5 * one, width - 7.5 * one
    apart = np.hypot(rows - centre[0], columns - centre[1])
    opacity: np.ndarray = np.clip(0.5 * one + 0.5 - np.abs(apart - 3 * one), 0, 1)[..., None]
    return opacity


def letter(height: int, width: int) -> np.ndarray:
    """Return the laterality letter L, seven units high, in the upper left corner.

    Example:
        >>> for row in letter(28, 28)[7:10, 1:8, 0].astype(int).tolist():
        ...     print(row)
        [0, 1, 0, 0, 0, 0, 0]
        [0, 1, 1, 1, 1, 1, 0]
        [0, 0, 0, 0, 0, 0, 0]
    """
    one = unit(height, width)
    mark = np.zeros((height, width, 1))
    mark[2 * one : 9 * one, 2 * one : 3 * one] = 1
    mark[8 * one : 9 * one, 2 * one : 7 * one] = 1
    return mark


def border(height: int, width: int) -> np.ndarray:
    """Return a frame of one unit's width along all four edges, as screen captures and film scanners burn it in.

    Example:
        >>> border(28, 28)[:3, :3, 0].astype(int).tolist()
        [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    """
    one = unit(height, width)
    mark = np.ones((height, width, 1))
    mark[one:-one, one:-one] = 0
    return mark


MARKERS: dict[str, tuple[Marker, tuple[int, int, int]]] = {
    "ruler": (ruler, WHITE),
    "ring": (ring, VIOLET),
    "letter": (letter, WHITE),
    "border": (border, WHITE),
}
"""Marks by name, each with its colour; in grey images all are white."""


@cache
def drawn(name: str, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return a mark's opacity (height, width, 1) and colour (channels,) for images of `shape`."""
    height, width, channels = shape
    marker, colour = MARKERS[name]
    return marker(height, width), np.array(colour if channels == 3 else [255] * channels, np.float64)
