"""The events of a sweep, for listeners."""

from collections.abc import Callable
from dataclasses import dataclass

from fedrobust.sweeps.cell import Cell


@dataclass(frozen=True)
class SweepStarted:
    """A sweep begins: its folder, numbers of cells, finished cells and workers."""

    name: str
    folder: str
    cells: int
    finished: int
    workers: int


@dataclass(frozen=True)
class CellMissing:
    """A cell cannot be run: its data set is not on this machine and cannot be downloaded."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class CellStarted:
    """A worker begins or resumes a cell, of which another cell computed the first `shared` rounds."""

    cell: Cell
    worker: int
    shared: int = 0


@dataclass(frozen=True)
class CellFinished:
    """A cell has ended: its metrics in one `line`, and its `error`, empty on success.

    It is `invalid` if the run finished, but its attack failed because of a wrong setting.
    """

    cell: Cell
    line: str
    seconds: float
    error: str = ""
    invalid: bool = False


@dataclass(frozen=True)
class CellPaused:
    """A cell has reached a round after which only the best go on; see `fedrobust.sweeps.halving`."""

    cell: Cell
    round: int
    seconds: float


@dataclass(frozen=True)
class CellDropped:
    """A cell does not go on after a round, and why."""

    cell: Cell
    round: int
    reason: str


@dataclass(frozen=True)
class WorkerReplaced:
    """A worker process died during a cell, which is run again."""

    cell: Cell
    deaths: int


@dataclass(frozen=True)
class SweepFinished:
    """The sweep has ended: numbers of failed or invalid and of missing cells, and its page."""

    failed: int
    missing: int
    page: str


SweepEvent = (
    SweepStarted
    | CellMissing
    | CellStarted
    | CellPaused
    | CellDropped
    | CellFinished
    | WorkerReplaced
    | SweepFinished
)
SweepListener = Callable[[SweepEvent], None]
