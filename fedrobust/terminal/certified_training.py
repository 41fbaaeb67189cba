"""What is certified of a run's training, as a table on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.terminal.figures import percent
from fedrobust.terminal.screen import PLAIN


def certified_table(found: Mapping[str, Any]) -> Table:
    """Return a row for each magnitude of a backdoor."""
    about, by = found["smoothing"], found["attackers"]
    shown = Table(
        title=escape(
            f"{found['run']}, {found['n']} images, {about['copies']} copies, sigma {about['sigma']:g}"
        ),
        caption=(
            f"No backdoor below the magnitude, in {by['poisoned']:.0%} of the images of {by['clients']} malicious "
            f"clients, in {by['rounds']} rounds, boost {by['boost']:g}, changes the answer, except with probability "
            f"{about['alpha']:g} an image. Magnitude: length in features and label; changed labels: from 1.414."
        ),
        **PLAIN,
    )
    for name in ("magnitude", "certified", "95 %", "by the paper's formula"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in found["certified"]:
        low, high = one["accuracy"]["interval"]
        limits = f"{100 * low:.1f}-{100 * high:.1f}"
        shown.add_row(
            f"{one['radius']:.3g}", percent(one["accuracy"]["value"]), limits, percent(one["paper"]["value"])
        )
    return shown


def vote_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the accuracies of the votes, and of what stands beside them, in sentences."""
    without, smoothed = found["unsmoothed"], found["smoothed"]
    return [
        f"The model without noise: {percent(without['value'])}; votes of {found['smoothing']['copies']} copies: "
        f"{percent(smoothed['value'])}, abstains on {percent(found['abstains']['value'])}.",
        f"A constant classifier: {percent(found['majority']['value'])}.",
    ]
