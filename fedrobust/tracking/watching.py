"""What watches one run: the user's callbacks and trackers of experiments."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from fedrobust.runs.callbacks import Guarded, RoundCallback, guarded
from fedrobust.runs.events import Listener
from fedrobust.spec import Spec, build
from fedrobust.tracking import TRACKERS
from fedrobust.tracking.tracker import Tracker

Log = str | Iterable[str | Tracker]
"""Trackers: specs such as "mlflow", or objects."""


@contextmanager
def watching(callbacks: Iterable[RoundCallback], log: Log) -> Iterator[Sequence[Listener]]:
    """Yield listeners for callbacks and trackers; at the end of the block, trackers close what is still open.

    Args:
        callbacks: functions of one `RoundRecord`.
        log: trackers.

    Raises:
        SpecError, UnknownNameError: a tracker does not exist, or is not installed.
    """
    trackers = [
        (Spec.parse(each).name, build(TRACKERS, each))
        if isinstance(each, str)
        else (type(each).__name__, each)
        for each in ([log] if isinstance(log, str) else log)
    ]
    try:
        yield [*guarded(callbacks), *(Guarded(each, name) for name, each in trackers)]
    finally:
        for _, each in trackers:
            # A tracker that has failed has been told of, and may fail to close.
            with suppress(Exception):
                each.close()
