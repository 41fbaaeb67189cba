"""Work through a wide matrix in blocks of columns, on all cores, with the same bits on any number of them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from fedrobust.cores import cores

T = TypeVar("T")

BLOCK_NUMBERS = 2**18
"""Numbers of a block: its float64 copy stays in the processor's cache."""


def each_block(width: int, rows: int, work: Callable[[slice], T]) -> list[T]:
    """Call `work` with every block of the columns 0 to `width`, several at a time.

    What a block is depends on the shape of the matrix alone, and matrix products inside of it run on one thread, so
    that results do not depend on the number of cores.

    Args:
        width: number of columns.
        rows: number of rows that a block is cut from.
        work: is given a slice of columns; it is called on several threads at a time.

    Returns:
        What `work` returned, in the order of the blocks.
    """
    step = block_width(rows)
    blocks = [slice(start, min(start + step, width)) for start in range(0, width, step)]
    if len(blocks) <= 1 or threading.current_thread().name.startswith(_NAME):
        with _one_blas_thread():
            return [work(block) for block in blocks]
    with _one_blas_thread():
        return list(_pool().map(work, blocks))


def block_width(rows: int) -> int:
    """Return how many columns a block of `rows` rows has."""
    return max(256, BLOCK_NUMBERS // max(1, rows) // 64 * 64)


_NAME = "aggregation"


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix=_NAME)


_limited = threading.RLock()


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Have NumPy's matrix products use the thread that they are called on, and no others."""
    with _limited, _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
