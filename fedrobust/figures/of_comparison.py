"""Figures of compared runs: each metric's mean over seeds, with its 95 % interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedrobust.figures.drawings import dots, number
from fedrobust.figures.figure import Figure
from fedrobust.sweeps.over_seeds import cut_line, metrics_of

if TYPE_CHECKING:
    import pandas


MOST_NAMED = 3
"""Settings that are named beside the axis; runs that differ in more have no common name for what differs."""


def figures_of_comparison(summary: "pandas.DataFrame", metrics: Sequence[str] = ()) -> list[Figure]:
    """Return a figure of each metric: a dot for each combination of settings.

    Args:
        summary: from `fedrobust.sweeps.over_seeds.over_seeds`.
        metrics: see `metrics_of`.

    Raises:
        ConfigError: no run has one of the metrics.
    """
    keys = summary.attrs["settings"]
    found = []
    for metric in metrics_of(summary, metrics):
        rows = [
            {
                "row": ", ".join(str(row[key]) for key in keys) or "all runs",
                "value": row[metric],
                "low": _known(row[f"{metric} low"]),
                "high": _known(row[f"{metric} high"]),
                "seeds": row["seeds"],
            }
            for row in summary.to_dict("records")
            if _known(row[metric]) is not None
        ]
        titles = ", ".join(key.rpartition(".")[2].replace("-", " ") for key in keys[:MOST_NAMED])
        y = {
            "field": "row",
            "type": "nominal",
            "title": titles if 0 < len(keys) <= MOST_NAMED else None,
            "sort": None,
            "axis": {"labelLimit": 320},
        }
        name = "".join(letter if letter.isalnum() else "-" for letter in metric)
        ends = ", cut at the ends of the range" if cut_line(summary, [metric]) else ""
        title = f"{metric.replace('_', ' ')}: mean over seeds, 95 % interval{ends}"
        found.append(
            Figure(f"comparison-{name}", title, rows, dots(rows, number("value", metric, zero=False), y))
        )
    return [one for one in found if one.rows]


def _known(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)  # NaN: one seed, or not measured
