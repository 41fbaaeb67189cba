"""Calls to Ray from several threads: Ray is left after the last of them has ended.

Ray 2.55 ends the whole process (exit code 1, without a Python exception) if a thread calls it after ``ray.shutdown``,
or crashes if a thread is inside ``ray.get`` then; it ends it as well where an array is put or read after the raylet of
this machine has ended. A pool's threads start workers and wait for replies, also of workers that are no longer waited
for. Each of their calls is therefore counted here and checked, and a wait is cut into short ones.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayTaskError

from fedrobust.engines.worker import EngineError

WAIT_SECONDS = 0.2
"""Longest single wait inside Ray: after this time a thread notices that Ray is left."""

END_SECONDS = 30.0
"""Time limit for the end of the calls under way."""


class LeftError(EngineError):
    """Ray was left; nothing can be asked of it any more."""


class RayCalls:
    """Counts the calls to Ray that are under way; after `end` there are no others.

    Args:
        lost: returns why Ray cannot be called any more, and nothing while it can.

    Example:
        >>> calls = RayCalls()
        >>> with calls.one():
        ...     "Ray may be called here"
        'Ray may be called here'
        >>> calls.end("the study is over")
        True
        >>> with calls.one():
        ...     "not reached"
        Traceback (most recent call last):
        fedrobust.engines.ray_calls.LeftError: the study is over
    """

    def __init__(self, lost: Callable[[], str] = str) -> None:
        self._lost = lost
        self._changed = threading.Condition()
        self._under_way = 0
        self._reason: str | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a call, or several in a row, as under way.

        Raises:
            LeftError: Ray was left, or is lost.
        """
        with self._changed:
            # Not at every wait of `get`: the raylet notes each look in its log.
            if self._reason is None:
                self._reason = self._lost() or None
            self._check()
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def get(self, reference: Any, timeout: float | None = None) -> Any:
        """Return the value of a Ray object, as ``ray.get`` does, inside of `one`.

        Args:
            reference: of the object.
            timeout: in seconds; None: no limit.

        Raises:
            LeftError: Ray is being left.
            GetTimeoutError: there was no value in time.
        """
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                self._check()
            try:
                return ray.get(reference, timeout=min(WAIT_SECONDS, max(0.0, deadline - time.monotonic())))
            except GetTimeoutError as error:
                # A task's own exception has the class RayTaskError as well.
                if isinstance(error, RayTaskError) or time.monotonic() >= deadline:
                    raise

    def end(self, reason: str) -> bool:
        """Refuse further calls, and wait for those under way.

        Args:
            reason: the text of every LeftError from now on, unless there was one before.

        Returns:
            Whether all have ended, so that Ray can be shut down.
        """
        with self._changed:
            if self._reason is None:
                self._reason = reason
            return self._changed.wait_for(lambda: not self._under_way, timeout=END_SECONDS)

    def _check(self) -> None:
        if self._reason is not None:
            raise LeftError(self._reason)
