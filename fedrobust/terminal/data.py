"""What the terminal shows of data: the known data sets, progress and counts of an import, counts of a checked file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


def data_sets_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the data sets that are known, and which of their files are on this machine."""
    table = Table(**PLAIN)
    for name in ("name", "classes", "kind", "train/val/test"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("name", "kind") else "right")
    table.add_column("here")
    table.add_column("licence")
    for row in rows:
        here = ", ".join(f"{size} px" for size in row["sizes"]) or ("built in" if row["present"] else "-")
        table.add_row(
            row["name"],
            str(row["classes"]),
            "grey" if row["channels"] == 1 else "RGB",
            "/".join(map(str, row["counts"])),
            here,
            row["licence"],
        )
    return table


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
    """Return the number of images of each class and of each site in each split."""
    splits = list(next(iter(found.classes.values())))
    table = Table(**PLAIN)
    add_columns(table, "", *splits)
    for part in (found.classes, found.sites):
        for name, counts in part.items():
            table.add_row(name, *(f"{counts[split]:,}" if split in counts else "-" for split in splits))
        table.add_section()
    return table
