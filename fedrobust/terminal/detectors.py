"""The measure of a detector as a table on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.terminal.figures import percent
from fedrobust.terminal.screen import PLAIN

ROWS = (
    ("clean", "without-detector", "right without the detector"),
    ("clean", "coverage", "answered"),
    ("clean", "false-alarms", "abstained on (false alarms)"),
    ("clean", "right-of-answered", "right, of those answered"),
    ("clean", "right", "answered and right"),
    ("attacked", "robust-without-detector", "robust without the detector"),
    ("attacked", "fooled-and-detected", "detected, of those that fool the model alone"),
    ("attacked", "robust-unaware", "robust if the attacker does not know the detector"),
    ("attacked", "robust", "robust if the attacker knows the detector"),
)
"""Part of the result, its key, and what it says."""


def detection_table(found: Mapping[str, Any]) -> Table:
    """Return a row for each share of images, with its 95 % interval."""
    about, threat = found["detector"], found["threat"]
    shown = Table(
        title=escape(f"{found['model']}, {found['n']} images, {about['settings']}"),
        caption=(
            f"Detector: {about['chosen']}. Threshold {about['threshold']:.4g}: at most {percent(about['rate'])} of "
            f"{about['threshold-on']} clean validation images are above. Attacks: {threat['norm']}, epsilon "
            f"{threat['epsilon']:.4g}. Abstaining on a clean image counts as an error, on an attacked one it does not."
        ),
        **PLAIN,
    )
    shown.add_column("images")
    for name in ("share", "95 %"):
        shown.add_column(name, justify="right", no_wrap=True)
    for part, key, words in ROWS:
        share = found[part][key]
        if share is not None:
            low, high = share["interval"]
            shown.add_row(f"{part}: {words}", percent(share["value"]), f"{100 * low:.1f}-{100 * high:.1f}")
    return shown
