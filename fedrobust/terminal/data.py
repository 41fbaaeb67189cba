"""What the terminal shows of own data: counts of an import."""

from typing import TYPE_CHECKING

from rich.table import Table

from fedrobust.terminal.screen import PLAIN, add_columns

if TYPE_CHECKING:
    from fedrobust.data.importing.imported import Imported


def imported_table(found: "Imported") -> Table:
    """Return the number of images of each class and each site in train, val and test."""
    table = Table(**PLAIN)
    add_columns(table, "", "train", "val", "test")
    for part in (found.classes, found.sites):
        for name, counts in part.items():
            table.add_row(name, *(f"{count:,}" for count in counts.values()))
        table.add_section()
    return table
