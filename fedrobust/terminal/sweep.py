"""Terminal output of a sweep: a bar with the remaining time on a screen, plain lines in a pipe."""

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fedrobust.plain import plain
from fedrobust.reasons import first_reason
from fedrobust.sweeps.compare import MAIN
from fedrobust.sweeps.events import (
    CellDropped,
    CellFinished,
    CellMissing,
    CellPaused,
    SweepEvent,
    SweepFinished,
    SweepStarted,
    WorkerReplaced,
)
from fedrobust.terminal.screen import say, standard_output

if TYPE_CHECKING:
    import pandas


class SweepConsole:
    """Shows the events of a sweep; use it as a context manager.

    Args:
        console: where to write; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or standard_output()
        self.folder = self.page = ""
        self.left = self.done = self.failed = self.missing = 0
        self.reasons: dict[str, int] = {}
        self.began = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} cells  {task.fields[left]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=None, left="")

    def __enter__(self) -> "SweepConsole":
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()

    def __call__(self, event: SweepEvent) -> None:
        """Show one event."""
        match event:
            case SweepStarted():
                self.folder, self.left = event.folder, event.cells - event.finished - self.missing
                self.began = time.monotonic()
                done = f", {event.finished} of them finished already" if event.finished else ""
                self._say(
                    f"[bold]{escape(event.name)}[/]  {event.cells} cells{done}, {event.workers} at a time"
                )
                self._say(f"sweep folder: {escape(event.folder)}")
                self.progress.update(self.task, total=event.cells, completed=event.finished)
            case CellMissing():
                self.missing += 1
                reason = self._reason(event.reason)
                self._say(f"[yellow]cannot be run here[/]  {escape(event.cell.label)}:  {escape(reason)}")
            case CellFinished():
                self.left -= 1
                self.done += 1
                self.failed += bool(event.error)
                left = self.time_left()
                self.progress.update(self.task, advance=1, left=left)
                mark = f"[red]{'invalid' if event.invalid else 'failed'}[/]  " if event.error else ""
                text = escape(self._reason(first_reason(event.error)) if event.error else event.line)
                self._say(f"{mark}{escape(event.cell.label)}:  {text}  {event.seconds:.0f} s  [dim]{left}[/]")
            case CellPaused():
                self._say(
                    f"{escape(event.cell.label)}:  reached round {event.round}  {event.seconds:.0f} s",
                    style="dim",
                )
            case CellDropped():
                self.left -= 1
                self.progress.update(self.task, advance=1)
                self._say(f"[yellow]dropped[/]  {escape(event.cell.label)}:  {escape(event.reason)}")
            case WorkerReplaced():
                self._say(
                    f"a worker died and was replaced: {escape(event.cell.label)} is run again", style="yellow"
                )
            case SweepFinished():
                self.progress.stop()
                self.page = event.page
                if event.failed:
                    self._say(f"{event.failed} cells failed or are invalid", style="red")
                self._say(f"page: {escape(event.page)}")
            case _:
                pass

    def _reason(self, reason: str) -> str:
        """Return a reason in full the first time, later by its number."""
        if reason in self.reasons:
            return f"as ({self.reasons[reason]})"
        self.reasons[reason] = len(self.reasons) + 1
        return f"({self.reasons[reason]}) {reason}"

    def time_left(self) -> str:
        """Return the estimated time of the remaining cells, from the finished ones."""
        if not self.left or not self.done:
            return ""
        seconds = (time.monotonic() - self.began) / self.done * self.left
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"

    def _say(self, text: str, **style: Any) -> None:
        say(self.console, text, **style)


MOST_BESIDE = 4
"""Number of runs up to which runs are columns, with all metrics; more runs are rows."""


def comparison(compared: "pandas.DataFrame", width: int) -> Iterator[Table]:
    """Yield the tables of a comparison (see `fedrobust.sweeps.compare`), no name or value cut.

    Cells of sweeps are rows, told apart by the settings that are varied; up to `MOST_BESIDE` other runs are columns.

    Args:
        compared: a row a run.
        width: columns of the terminal.
    """
    if len(compared) <= MOST_BESIDE and not compared.attrs["cells"]:
        table = Table(box=SIMPLE_HEAD)
        table.add_column("", no_wrap=True)
        for name in map(str, compared.index):
            table.add_column(escape(name), overflow="fold")
        for key in compared.columns:
            table.add_row(escape(str(key)), *(escape(written(value)) for value in compared[key]))
        yield table
        return
    figures_ = compared.attrs["figures"]
    named = compared if compared.attrs["cells"] else compared.reset_index()
    first = compared.attrs["settings"] if compared.attrs["cells"] else ["run"]
    settings = [key for key in named.columns if key not in (*figures_, *first)]
    figures = [name for name in MAIN if name in named.columns]
    # If there is no space for the runs' names beside settings and metrics, these are two tables.
    halves = [settings, figures] if 12 * (len(settings) + len(figures)) > width - 24 else [settings + figures]
    for half in halves:
        table = Table(box=SIMPLE_HEAD)
        for name in (*first, *half):
            table.add_column(escape(name.replace("_", " ").replace("-", " ")), overflow="fold")
        for values in named[[*first, *half]].itertuples(index=False):
            table.add_row(*(escape(written(value)) for value in values))
        yield table


def records(table: "pandas.DataFrame") -> list[dict[str, Any]]:
    """Return a table as plain data, a dictionary a row; what is not known is left out."""
    return [
        {str(key): plain(value) for key, value in row.items() if written(value) != "-"}
        for row in table.to_dict("records")
    ]


def written(value: object) -> str:
    """Return a value for a table; "-" for one that is missing.

    Example:
        >>> written(0.12345), written(None), written(float("nan")), written("median")
        ('0.1235', '-', '-', 'median')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
