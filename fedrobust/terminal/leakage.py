"""Attacks on the privacy of a run as tables on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.terminal.screen import PLAIN

TARGETS = {
    "model": "this run",
    "shadows": "{targets} shadow federations",
    "clients": "updates of {targets} clients",
}


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Return a table for each kind of attack that was made."""
    return [membership_table(found)] if found["membership"] else []


def membership_table(found: Mapping[str, Any]) -> Table:
    """Return a row for each membership attack and target, beside guessing."""
    shown = Table(title=escape(f"{found['run']}: which images trained the model?"), **PLAIN)
    for name in ("attack", "on", "AUC", "95 %", "TPR at 1 %", "TPR at 0.1 %", "control AUC"):
        shown.add_column(name, justify="left" if name in ("attack", "on") else "right", no_wrap=name != "on")
    for one in found["membership"]:
        low, high = one["interval"]
        control = one["control-auc"]
        shown.add_row(
            escape(one["attack"]),
            f"{TARGETS[one['target']].format(**one)}, others: {one['others']}",
            f"{one['auc']:.3f}",
            f"{low:.3f}-{high:.3f}",
            *(rate(each) for each in one["rates"]),
            "-" if control is None else f"{control:.3f}",
        )
    shown.add_row("guessing", "", "0.500", "", "1.0%", "0.1%", "")
    return shown


def rate(one: Mapping[str, Any]) -> str:
    """Return a true positive rate with its interval.

    Example:
        >>> rate({"value": None, "others": 78})
        'too few'
        >>> rate({"value": 0.25, "interval": [0.2, 0.31]})
        '25.0% (20.0-31.0)'
    """
    if one["value"] is None:
        return "too few"
    low, high = one["interval"]
    return f"{one['value']:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def lines(found: Mapping[str, Any]) -> Sequence[str]:
    """Return what must be said beside the figures."""
    told = [escape(f"not made: {one}") for one in found["skipped"]]
    few = {
        f"{1 / each['false-positive-rate']:.0f}"
        for one in found["membership"]
        for each in one["rates"]
        if each["value"] is None
    }
    if few:
        told.append(
            f"too few: a rate needs at least {' or '.join(sorted(few, key=int))} images that are no members"
        )
    told.append(
        "An attack that fails here may succeed with more shadows or knowledge: this is no proof of privacy."
    )
    return told
