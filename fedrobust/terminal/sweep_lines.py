"""Output of a sweep for other programs: JSON lines, or nothing."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from fedrobust.plain import plain
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.events import CellFinished, CellMissing, SweepEvent, SweepFinished, SweepStarted
from fedrobust.terminal.json_lines import event_name


class SilentSweep:
    """Shows nothing of a sweep; remembers its folder, its page, and what did not go well."""

    def __init__(self) -> None:
        self.folder = self.page = ""
        self.failed = self.missing = 0

    def __enter__(self) -> "SilentSweep":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: SweepEvent) -> None:
        """Take one event."""
        match event:
            case SweepStarted():
                self.folder = event.folder
            case CellMissing():
                self.missing += 1
            case CellFinished():
                self.failed += bool(event.error)
            case SweepFinished():
                self.page = event.page
            case _:
                pass


class SweepLines(SilentSweep):
    """Writes each event of a sweep as one line of JSON, as soon as it happens.

    Args:
        write: takes one line.

    Example:
        >>> SweepLines(print)(SweepFinished(failed=0, missing=0, page="runs/s/sweep.html"))
        {"event": "sweep-finished", "failed": 0, "missing": 0, "page": "runs/s/sweep.html"}
    """

    def __init__(self, write: Callable[[str], object]):
        super().__init__()
        self.write = write

    def __call__(self, event: SweepEvent) -> None:
        """Write one event."""
        super().__call__(event)
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        content = {"event": event_name(event), **{name: _plain(value) for name, value in fields.items()}}
        self.write(json.dumps(plain(content), allow_nan=False))


def _plain(value: Any) -> Any:
    """Return a cell as its varied settings and its hash, anything else as it is."""
    return {"settings": dict(value.settings), "hash": value.hash} if isinstance(value, Cell) else value
