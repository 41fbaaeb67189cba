"""Memoise functions and properties, thread-safe."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

P = ParamSpec("P")
T = TypeVar("T")

LOCK = "_building"
"""Name of the attribute under which an object keeps the lock of its parts."""


class Memoized(Generic[P, T]):
    """A function with memoised results.

    Unlike `functools.lru_cache`, threads that ask for the same thing at once wait for one of them to build it.

    Args:
        function: builds a result.
        keep: how many results are kept; the least recently used goes first.
        key: what results are remembered by, from the function's arguments; the arguments themselves if None.
    """

    def __init__(self, function: Callable[P, T], keep: int, key: Callable[..., Hashable] | None):
        self._function = function
        self._keep = keep
        self._key = key or _arguments
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.RLock()
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the stored result, or compute it."""
        key = self._key(*args, **kwargs)
        with self._lock:
            if key not in self._results:
                self._results[key] = self._function(*args, **kwargs)
            return self._used(key)

    def offer(self, result: T, *args: P.args, **kwargs: P.kwargs) -> T:
        """Store `result` for these arguments unless there is one, and return the stored one."""
        key = self._key(*args, **kwargs)
        with self._lock:
            self._results.setdefault(key, result)
            return self._used(key)

    def forget(self, which: Callable[[T], bool]) -> None:
        """Remove the stored results for which `which` is true."""
        with self._lock:
            for key in [key for key, result in self._results.items() if which(result)]:
                del self._results[key]

    def _used(self, key: Hashable) -> T:
        self._results.move_to_end(key)
        while len(self._results) > self._keep:
            self._results.popitem(last=False)
        return self._results[key]


def memoize(
    keep: int = 2, key: Callable[..., Hashable] | None = None
) -> Callable[[Callable[P, T]], Memoized[P, T]]:
    """Return a decorator that makes a function a `Memoized`.

    Example:
        >>> @memoize(key=lambda number, note: number)
        ... def square(number: int, note: str) -> str:
        ...     return f"{number * number}, {note}"
        >>> square(3, "first"), square(3, "second")
        ('9, first', '9, first')
    """
    return lambda function: Memoized(function, keep, key)


def _arguments(*args: object, **kwargs: object) -> Hashable:
    return args, tuple(sorted(kwargs.items()))


def parts_and_fields(thing: object) -> dict[str, Any]:
    """Return the attributes of an object by name: those it was made with, and each `part` that was asked for."""
    return {name: value for name, value in vars(thing).items() if name != LOCK}


class part(Generic[T]):  # noqa: N801  # used as a decorator, as `functools.cached_property` is
    """A property that is computed once, on first access, also by several threads.

    Unlike `functools.cached_property`, threads that ask at once wait for one of them to build it. Parts of one object
    may ask for one another. What raises is built anew at the next call.

    Example:
        >>> class Circle:
        ...     @part
        ...     def area(self) -> float:
        ...         print("computed")
        ...         return 3.14
        >>> circle = Circle()
        >>> circle.area, circle.area
        computed
        (3.14, 3.14)
    """

    def __init__(self, function: Callable[[Any], T]):
        self._function = function
        update_wrapper(cast(Any, self), function)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "part[T]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "part[T] | T":
        if instance is None:
            return self
        built = instance.__dict__
        if self._name in built:
            return cast(T, built[self._name])
        # One lock an object: `dict.setdefault` of a plain dictionary is atomic.
        with cast(threading.RLock, built.setdefault(LOCK, threading.RLock())):
            if self._name not in built:
                built[self._name] = self._function(instance)
        return cast(T, built[self._name])
