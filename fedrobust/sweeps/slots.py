"""The worker processes of a sweep, and which cell each is handed."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from fedrobust.sweeps.cell import Cell

STOP_SECONDS = 30.0
"""Time for workers to stop by themselves, before they are killed."""


@dataclass(eq=False)
class WorkerSlot:
    """A worker process, the parent's end of its pipe, and its present cell."""

    number: int
    process: Any
    pipe: Connection
    cell: Cell | None = None
    since: float = 0.0
    last_graph: str = ""


def next_cell(
    waiting: Sequence[Cell],
    slot: WorkerSlot,
    slots: Sequence[WorkerSlot],
    pending: Callable[[Cell], str],
) -> int:
    """Return the place of the cell that a worker is handed.

    Cells whose first rounds another worker is computing come last, so that they are not computed twice. Of the others,
    the one with the graphs of the worker's last cell, else one with graphs that no other busy worker has.

    Args:
        waiting: at least one cell.
        slot: the idle worker.
        slots: all workers.
        pending: returns the key of the shared rounds of a cell as long as they are not there; "" without.
    """
    others = [other for other in slots if other is not slot and other.cell]
    busy = {other.last_graph for other in others}
    begun = {pending(other.cell) for other in others if other.cell} - {""}

    def rank(place: int) -> tuple[bool, bool, bool]:
        cell = waiting[place]
        graph = cell.graph_key
        alike = graph == slot.last_graph
        return pending(cell) in begun, not alike, not alike and graph in busy

    return min(range(len(waiting)), key=rank)


def stop(slots: Sequence[WorkerSlot]) -> None:
    """End workers: idle ones by closing their pipes, busy ones by SIGTERM, and after `STOP_SECONDS` by SIGKILL."""
    for slot in slots:
        slot.pipe.close()
        if slot.cell is not None and slot.process.is_alive():
            os.kill(slot.process.pid, signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    for slot in slots:
        slot.process.join(max(0.1, until - time.monotonic()))
        if slot.process.is_alive():
            slot.process.kill()
            slot.process.join()
