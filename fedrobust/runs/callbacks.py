"""Callbacks of a user: functions of a finished round, whose faults do not end the run."""

import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from fedrobust.errors import first_line
from fedrobust.runs.events import Event, Listener, RoundFinished
from fedrobust.runs.record import RoundRecord

RoundCallback = Callable[[RoundRecord], object]


class CallbackNotice(UserWarning):
    """A callback or tracker has failed, and is not called again."""


class Guarded:
    """A listener that is not called again after its first exception; the run goes on.

    A round is on disk, with its checkpoint, before listeners are told of it. `KeyboardInterrupt` is no such exception:
    it stops the run, which can be resumed.

    Args:
        listener: called with every event.
        name: of it in the notice.

    Example:
        >>> from fedrobust.runs.events import StageStarted
        >>> heard = []
        >>> Guarded(heard.append, "callback append")(StageStarted("distilling"))
        >>> heard
        [StageStarted(stage='distilling')]
    """

    def __init__(self, listener: Listener, name: str):
        self.listener = listener
        self.name = name
        self.failed = False

    def __call__(self, event: Event) -> None:
        """Pass on one event."""
        if self.failed:
            return
        try:
            self.listener(event)
        except Exception as error:  # a user's own code, or another library
            self.failed = True
            warnings.warn(
                f"{self.name} failed{_when(event)}: {_told(error)}; it is not called again, the run goes on",
                CallbackNotice,
                stacklevel=2,
            )


def guarded(callbacks: Iterable[RoundCallback]) -> list[Listener]:
    """Return listeners that call each of `callbacks` with the record of every finished round."""
    return [Guarded(_on_round(each), f"callback {_name(each)}") for each in callbacks]


def _on_round(callback: RoundCallback) -> Listener:
    def listener(event: Event) -> None:
        if isinstance(event, RoundFinished):
            callback(event.record)

    return listener


def _name(callback: Any) -> str:
    return str(getattr(callback, "__qualname__", None) or type(callback).__qualname__)


def _when(event: Event) -> str:
    return f" after round {event.record.round}" if isinstance(event, RoundFinished) else ""


def _told(error: Exception) -> str:
    """Return an exception's type and message, with the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {first_line(error)} ({last.filename}, line {last.lineno})"
