"""Process a wide matrix in blocks of columns on all cores, with bits that do not depend on the number of cores."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from fedrobust.cores import cores

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
    step = block_width(rows)
    blocks = [slice(start, min(start + step, width)) for start in range(0, width, step)]
    if len(blocks) <= 1 or threading.current_thread().name.startswith(_NAME):
        with _one_blas_thread():
            return [work(block) for block in blocks]
    with _one_blas_thread():
        return list(_pool().map(work, blocks))


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
