"""Terminal output of means over seeds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fedrobust.sweeps.over_seeds import metrics_of, written_as
from fedrobust.terminal.sweep import written

if TYPE_CHECKING:
    import pandas

NOTE = "Means over seeds, with the mean's 95 % interval (Student's t)."


def means(summary: "pandas.DataFrame", width: int, metrics: Sequence[str] = ()) -> Iterator[Table]:
    """Yield the table of means over seeds (see `fedrobust.sweeps.over_seeds`), with their 95 % intervals.

    One combination of settings has a row for each metric; several have a row each.

    Args:
        summary: a row a combination.
        width: columns of the terminal.
        metrics: those shown; the usual ones if empty.
    """
    keys, shown = summary.attrs["settings"], metrics_of(summary, metrics)
    rows = summary.to_dict("records")
    table = Table(box=SIMPLE_HEAD)
    if len(rows) == 1 and not keys:
        for head in ("", "mean", "95 % interval", "seeds"):
            table.add_column(head)
        for metric in shown:
            table.add_row(escape(metric), *interval(rows[0], metric), str(rows[0]["seeds"]))
        yield table
        return
    for head in (*keys, "seeds", *shown):
        table.add_column(escape(head.replace("_", " ").replace("-", " ")), overflow="fold")
    for row in rows:
        found = (", ".join(filter(None, interval(row, metric))) for metric in shown)
        table.add_row(*(escape(written(row[key])) for key in keys), str(row["seeds"]), *found)
    yield table


def interval(row: Mapping[str, Any], metric: str) -> tuple[str, str]:
    """Return the mean of a metric and the limits of its interval as text, shares in percent.

    Example:
        >>> interval({"accuracy": 0.5, "accuracy low": 0.4, "accuracy high": 0.6}, "accuracy")
        ('50.0%', '40.0 to 60.0')
        >>> interval({"auc": 0.5, "auc low": 0.4, "auc high": 0.6}, "auc")
        ('0.500', '0.400 to 0.600')
    """
    mean, low, high = (row[f"{metric}{part}"] for part in ("", " low", " high"))
    if mean is None or math.isnan(mean):
        return "-", ""
    factor, form = written_as(metric)
    limits = "" if low is None or math.isnan(low) else f"{factor * low:{form}} to {factor * high:{form}}"
    return f"{factor * mean:{form}}{'%' if factor == 100 else ''}", limits
