"""Predictions as a table on the terminal."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from fedrobust.terminal.figures import percent
from fedrobust.terminal.screen import PLAIN

if TYPE_CHECKING:
    from fedrobust.prediction import Predictions

MOST_ROWS = 50
"""Images that are shown; all are in ``--csv`` and ``--json``."""


def table(found: "Predictions") -> Table:
    """Return a row for each image: class, probability, and what was done to the image."""
    left = len(found) - MOST_ROWS
    shown = Table(
        title=escape(found.model),
        caption="Probabilities are not calibrated."
        + (f" {left} more images: see --csv or --json." if left > 0 else ""),
        **PLAIN,
    )
    shown.add_column("image", overflow="fold")
    shown.add_column("class")
    shown.add_column("prob.", justify="right", no_wrap=True)
    shown.add_column("done to the image")
    for one in found[:MOST_ROWS]:
        changes = "; ".join(one.changes) or "-"
        shown.add_row(escape(one.image), escape(one.name), percent(one.probability), escape(changes))
    return shown
