"""What the terminal shows of own data: progress and counts of an import, counts of a checked file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fedrobust.terminal.screen import PLAIN, add_columns

if TYPE_CHECKING:
    from fedrobust.data.file_check import FileCheck
    from fedrobust.data.importing.imported import Imported


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how many of all are done, with the time left; in a pipe it shows nothing.

    Args:
        what: is counted.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def imported_table(found: "Imported") -> Table:
    """Return the number of images of each class and each site in train, val and test."""
    table = Table(**PLAIN)
    add_columns(table, "", "train", "val", "test")
    for part in (found.classes, found.sites):
        for name, counts in part.items():
            table.add_row(name, *(f"{count:,}" for count in counts.values()))
        table.add_section()
    return table


def checked_table(found: "FileCheck") -> Table:
    """Return the number of images of each class in each split, and of training images of each site."""
    splits = list(next(iter(found.classes.values())))
    table = Table(**PLAIN)
    add_columns(table, "", *splits)
    for name, counts in found.classes.items():
        table.add_row(name, *(f"{count:,}" for count in counts.values()))
    table.add_section()
    for name, count in found.sites.items():
        table.add_row(name, f"{count:,}")
    return table
