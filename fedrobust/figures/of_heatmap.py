"""The heatmap of a sweep over attacks and rules: means over seeds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedrobust.figures.figure import Figure
from fedrobust.sweeps.over_seeds import metrics_of, written_as
from fedrobust.sweeps.ranks import DEFENCE

if TYPE_CHECKING:
    import pandas

ATTACK = "poisoning.attack"


def heatmap_figures(summary: "pandas.DataFrame", metrics: Sequence[str] = ()) -> list[Figure]:
    """Return a heatmap of each metric, attacks by rules; none where not both vary, or where more than they vary.

    Args:
        summary: from `fedrobust.sweeps.over_seeds.over_seeds`.
        metrics: see `metrics_of`.

    Raises:
        ConfigError: no run has one of the metrics.
    """
    keys = summary.attrs["settings"]
    rules = [key for key in DEFENCE if key in keys]
    if ATTACK not in keys or not rules or set(keys) - {ATTACK, *rules}:
        return []
    found = []
    for metric in metrics_of(summary, metrics):
        factor, form = written_as(metric)
        rows = [
            {
                "attack": str(row[ATTACK]),
                "rule": " → ".join(
                    str(row[key]) for key in rules if str(row[key]) not in ("-", "none", "None")
                ),
                "value": factor * row[metric],
                "text": f"{factor * row[metric]:{form}}",
                "seeds": row["seeds"],
            }
            for row in summary.to_dict("records")
            if row[metric] is not None and row[metric] == row[metric]  # not NaN: a cell without a result
        ]
        values = [row["value"] for row in rows]
        middle = (max(values) + min(values)) / 2 if values else 0.0
        x = {
            "field": "rule",
            "type": "nominal",
            "sort": None,
            "title": None,
            "axis": {"orient": "top", "labelLimit": 220, "labelAngle": -45},
        }
        y = {"field": "attack", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 320}}
        colour = {"field": "value", "type": "quantitative", "scale": {"scheme": "blues"}, "legend": None}
        dark = {"condition": {"test": f"datum.value > {middle}", "value": "white"}, "value": "black"}
        drawing = {
            "width": {"step": 46},
            "height": {"step": 24},
            "layer": [
                {"mark": "rect", "encoding": {"x": x, "y": y, "color": colour}},
                {
                    "mark": {"type": "text", "fontSize": 11},
                    "encoding": {"x": x, "y": y, "text": {"field": "text"}, "color": dark},
                },
            ],
        }
        name = "".join(letter if letter.isalnum() else "-" for letter in metric)
        unit = ", %" if factor == 100 else ""
        title = f"{metric.replace('_', ' ')}{unit}: mean over seeds"
        found.append(Figure(f"heatmap-{name}", title, rows, drawing))
    return [one for one in found if one.rows]
