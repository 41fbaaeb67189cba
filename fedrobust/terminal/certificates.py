"""Certified accuracies as a table on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.terminal.figures import percent
from fedrobust.terminal.screen import PLAIN


def certificate_table(found: Mapping[str, Any]) -> Table:
    """Return a row for each radius, and what stands beside it: the model without noise, and a constant classifier."""
    about = found["smoothing"]
    shown = Table(
        title=escape(f"{found['model']}, {found['n']} images, noise of sigma {about['sigma']:g}"),
        caption=(
            "No perturbation within the radius changes the smoothed model's answer, with probability "
            f"{1 - about['alpha']:g} an image. {about['samples']} samples certify up to {about['largest-radius']:.3f}."
        ),
        **PLAIN,
    )
    for name in ("l2 radius", "certified", "95 %", "balanced"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in found["certified"]:
        shown.add_row(f"{one['radius']:.3f}", *_share(one["accuracy"]), percent(one["balanced-accuracy"]))
    return shown


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return what stands beside the certified accuracies, in sentences."""
    without, smoothed = found["unsmoothed"], found["smoothed"]
    return [
        f"The model without noise: {percent(without['value'])}; smoothed: {percent(smoothed['value'])}, abstains on "
        f"{percent(found['abstains']['value'])}.",
        f"A constant classifier is certified at every radius: {percent(found['majority']['value'])}, balanced "
        f"{percent(1 / len(found['data']['labels']))}.",
    ]


def _share(share: Mapping[str, Any]) -> tuple[str, str]:
    low, high = share["interval"]
    return percent(share["value"]), f"{100 * low:.1f}-{100 * high:.1f}"
