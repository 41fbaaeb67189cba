"""What happens in a sweep, told to whoever listens."""

from collections.abc import Callable
from dataclasses import dataclass

from fedrobust.sweeps.cell import Cell


@dataclass(frozen=True)
class SweepStarted:
    """A sweep begins: its folder, how many cells it has, how many of them are finished already, and its workers."""

    name: str
    folder: str
    cells: int
    finished: int
    workers: int


@dataclass(frozen=True)
class CellMissing:
    """A cell cannot be run here: its data set is not on this machine and cannot be downloaded."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class CellStarted:
    """A worker begins with a cell, or goes on with it."""

    cell: Cell
    worker: int


@dataclass(frozen=True)
class CellFinished:
    """A cell is over; `line` says what came out, `error` is empty where it went well.

    It is `invalid` where the run came to its end, but its attack failed by a fault of the study.
    """

    cell: Cell
    line: str
    seconds: float
    error: str = ""
    invalid: bool = False


@dataclass(frozen=True)
class WorkerReplaced:
    """A worker process died in the middle of a cell, which is run again by another."""

    cell: Cell
    deaths: int


@dataclass(frozen=True)
class SweepFinished:
    """The sweep is over: how many cells failed or are invalid, how many cannot be run here, and its page."""

    failed: int
    missing: int
    page: str


SweepEvent = SweepStarted | CellMissing | CellStarted | CellFinished | WorkerReplaced | SweepFinished
SweepListener = Callable[[SweepEvent], None]
