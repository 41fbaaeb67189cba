"""Bound the memory of the weights that a model file declares, before any is allocated."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from fedrobust.lazy import keras

MOST_BYTES = 2**30
MOST_RATIO = 50
"""Weights are refused that take more bytes than the first number and than their file's size times the second."""

_bound = threading.local()


class OversizedError(ValueError):
    """A model file declares more weights than it holds, or than fit into memory."""


@contextmanager
def bounded(file_bytes: int) -> Iterator[None]:
    """Refuse to make weights within the block, in this thread, that a file of `file_bytes` cannot hold.

    A configuration of a few bytes can declare layers of any size, which Keras allocates before it reads the weights.

    Raises:
        OversizedError: the layers declare more.
    """
    _install()
    _bound.most, _bound.declared = _most(file_bytes), 0
    try:
        yield
    finally:
        _bound.most = None


def _most(file_bytes: int) -> int:
    return min(max(MOST_BYTES, MOST_RATIO * file_bytes), int(psutil.virtual_memory().available))


def _install() -> None:
    """Have every layer of Keras ask `_count` before it makes a weight."""
    original = keras.layers.Layer.add_weight
    if getattr(original, "counts_bytes", False):
        return

    def add_weight(self: Any, shape: Any = None, *args: Any, **settings: Any) -> Any:
        _count(shape)
        return original(self, shape, *args, **settings)

    add_weight.counts_bytes = True  # type: ignore[attr-defined]
    keras.layers.Layer.add_weight = add_weight


def _count(shape: Any) -> None:
    most = getattr(_bound, "most", None)
    if most is None:
        return
    sides = shape if isinstance(shape, tuple | list) else () if shape is None else (shape,)
    _bound.declared += 4 * math.prod(side for side in sides if isinstance(side, int))
    if _bound.declared > most:
        raise OversizedError(
            f"its layers declare {_bound.declared:,} bytes of weights; allowed: {most:,}, by the size of the file and "
            "the free memory"
        )
