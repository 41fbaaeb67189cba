"""The exchanges that find a median: minima and maxima of pairs, the same for all values."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fedrobust.lazy import keras


class Exchange(NamedTuple):
    """Compare two values; the smaller one is put first.

    Attributes:
        first: place of the one.
        second: place of the other, behind it.
        low: whether the smaller value is used later.
        high: whether the larger one is.
    """

    first: int
    second: int
    low: bool
    high: bool


def median_of(values: Sequence[Any]) -> Any:
    """Return the elementwise median of an odd number of tensors of the same shape.

    Example:
        >>> import numpy as np
        >>> float(median_of([np.float32(value) for value in (0.25, 1.0, 0.0)]))
        0.25
    """
    placed = list(values)
    for first, second, low, high in median_network(len(placed)):
        one, other = placed[first], placed[second]
        if low:
            placed[first] = keras.ops.minimum(one, other)
        if high:
            placed[second] = keras.ops.maximum(one, other)
    return placed[len(placed) // 2]


@lru_cache
def median_network(number: int) -> tuple[Exchange, ...]:
    """Return the exchanges after which the middle one of `number` places has the median.

    Those of Batcher's merge exchange (Knuth, The Art of Computer Programming, volume 3, section 5.2.2, algorithm M)
    whose results reach the middle: 22 of 26 for nine values, 113 of 138 for twenty-five.

    Example:
        >>> [(one.first, one.second) for one in median_network(3)]
        [(0, 2), (0, 1), (1, 2)]
    """
    needed, kept = {number // 2}, list[Exchange]()
    for first, second in reversed(list(_merge_exchange(number))):
        low, high = first in needed, second in needed
        if low or high:
            kept.append(Exchange(first, second, low, high))
            needed |= {first, second}
    return tuple(reversed(kept))


def _merge_exchange(number: int) -> list[tuple[int, int]]:
    pairs = []
    top = 1 << max((number - 1).bit_length() - 1, 0)
    width = top
    while width > 0:
        step, rest, apart = top, 0, width
        while True:
            pairs += [(place, place + apart) for place in range(number - apart) if place & width == rest]
            if step == width:
                break
            apart, step, rest = step - width, step // 2, width
        width //= 2
    return pairs
