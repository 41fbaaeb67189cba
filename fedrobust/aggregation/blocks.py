"""Process a wide matrix in blocks of columns on all cores, with bits that do not depend on the number of cores."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from fedrobust.cores import cores

S = TypeVar("S")
T = TypeVar("T")

BLOCK_NUMBERS = 2**18
"""Values in a block, whose float64 copy fits into the processor's cache."""


def each_block(width: int, rows: int, work: Callable[[slice], T]) -> list[T]:
    """Call `work` for every block of the columns 0 to `width`, several in parallel.

    The blocks depend only on the shape of the matrix, and matrix products within a block run on one thread, so that
    results do not depend on the number of cores.

    Args:
        width: number of columns.
        rows: number of rows.
        work: function of a slice of columns; it is called on several threads.

    Returns:
        The results of `work`, in the order of the blocks.
    """
    return each(blocks_of(slice(0, width), rows), work)


def each(items: Sequence[S], work: Callable[[S], T]) -> list[T]:
    """Call `work` for every item, several in parallel, each with matrix products on one thread; see `each_block`.

    Example:
        >>> each([1, 2, 3], lambda number: number * number)
        [1, 4, 9]
    """
    if threading.current_thread().name.startswith(_NAME):  # the caller of this thread limits BLAS, and waits
        return [work(item) for item in items]
    with _one_blas_thread():
        return [work(item) for item in items] if len(items) <= 1 else list(_pool().map(work, items))


def blocks_of(columns: slice, rows: int) -> list[slice]:
    """Return `columns` in blocks.

    Example:
        >>> blocks_of(slice(10, 600), rows=2**20)
        [slice(10, 266, None), slice(266, 522, None), slice(522, 600, None)]
    """
    step = block_width(rows)
    return [slice(at, min(at + step, columns.stop)) for at in range(columns.start, columns.stop, step)]


def block_width(rows: int) -> int:
    """Return the number of columns of a block of `rows` rows."""
    return max(256, BLOCK_NUMBERS // max(1, rows) // 64 * 64)


_NAME = "aggregation"


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix=_NAME)


_limited = threading.RLock()


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Restrict NumPy's matrix products to the calling thread."""
    with _limited, _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
