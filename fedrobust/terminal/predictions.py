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
    left, smoothing = len(found) - MOST_ROWS, found.smoothing
    said = (
        "Probabilities are not calibrated."
        if smoothing is None
        else f"Shares of {smoothing.samples} copies with noise of sigma {smoothing.sigma:g}. No perturbation of the "
        "prepared image within the l2 radius changes the smoothed model's answer, except with probability "
        f"{smoothing.alpha:g} an image."
    )
    said = " ".join([said, *[f"{note[:1].upper()}{note[1:]}." for note in found.notes]])
    shown = Table(
        title=escape(found.model),
        caption=said + (f" {left} more images: see --csv or --json." if left > 0 else ""),
        **PLAIN,
    )
    shown.add_column("image", overflow="fold")
    shown.add_column("class")
    shown.add_column("prob." if smoothing is None else "share", justify="right", no_wrap=True)
    if smoothing is not None:
        shown.add_column("l2 radius", justify="right", no_wrap=True)
    shown.add_column("done to the image")
    for one in found[:MOST_ROWS]:
        changes = "; ".join(one.changes) or "-"
        radius = [] if one.radius is None else [f"{one.radius:.3f}"]
        shown.add_row(escape(one.image), escape(one.name), percent(one.probability), *radius, escape(changes))
    return shown
