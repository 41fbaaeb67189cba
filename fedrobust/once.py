"""Build a thing once a process, however many threads ask for it at the same time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def once(keep: int = 2) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that remembers a function's results by its arguments, which must be hashable.

    Unlike `functools.lru_cache`, threads that ask for the same thing at once wait for one of them to build it.

    Args:
        keep: how many results are kept; the least recently used goes first.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        results: OrderedDict[Hashable, T] = OrderedDict()
        lock = threading.RLock()

        @wraps(function)
        def built(*args: P.args, **kwargs: P.kwargs) -> T:
            key = (args, tuple(sorted(kwargs.items())))
            with lock:
                if key not in results:
                    results[key] = function(*args, **kwargs)
                results.move_to_end(key)
                while len(results) > keep:
                    results.popitem(last=False)
                return results[key]

        return built

    return decorate
