"""A sweep as it is seen in a terminal: a bar with the time left on a screen, plain lines in a pipe."""

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fedrobust.runs.console import standard_output
from fedrobust.sweeps.events import (
    CellFinished,
    CellMissing,
    SweepEvent,
    SweepFinished,
    SweepStarted,
    WorkerReplaced,
)


class SweepConsole:
    """Shows the events of a sweep; use it as a context manager.

    Args:
        console: where to write; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or standard_output()
        self.folder = ""
        self.left = self.done = self.failed = self.missing = 0
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
                self._say(
                    f"[yellow]cannot be run here[/]  {escape(event.cell.label)}:  {escape(event.reason)}"
                )
            case CellFinished():
                self.left -= 1
                self.done += 1
                self.failed += bool(event.error)
                left = self.time_left()
                self.progress.update(self.task, advance=1, left=left)
                mark = "[red]failed[/]  " if event.error else ""
                text = escape(event.error.strip().splitlines()[-1] if event.error else event.line)
                self._say(f"{mark}{escape(event.cell.label)}:  {text}  {event.seconds:.0f} s  [dim]{left}[/]")
            case WorkerReplaced():
                self._say(
                    f"a worker died and was replaced: {escape(event.cell.label)} is run again", style="yellow"
                )
            case SweepFinished():
                self.progress.stop()
                if event.failed:
                    self._say(f"{event.failed} cells failed", style="red")
                self._say(f"page: {escape(event.page)}")
            case _:
                pass

    def time_left(self) -> str:
        """Return how long the cells that are left will take, judged by those that are done."""
        if not self.left or not self.done:
            return ""
        seconds = (time.monotonic() - self.began) / self.done * self.left
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"

    def _say(self, text: str, **style: Any) -> None:
        self.console.print(text, soft_wrap=True, **style)
