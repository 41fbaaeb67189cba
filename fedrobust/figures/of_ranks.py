"""The figure of rules' mean ranks, with bars below those that are not told apart (Demsar, 2006, figure 1)."""

from typing import Any

from fedrobust.figures.drawings import number
from fedrobust.figures.figure import COLOURS, Figure
from fedrobust.sweeps.ranks import Ranks


def figure_of_ranks(ranks: Ranks) -> Figure:
    """Return the figure of mean ranks, the best rule first; a bar joins rules that are not told apart."""
    rows: list[dict[str, Any]] = [
        {"row": rule, "rank": rank, "first": None, "last": None, "bar": None}
        for rule, rank in zip(ranks.rules, ranks.ranks, strict=True)
    ]
    rows += [
        {
            "row": ranks.rules[last],
            "rank": None,
            "first": ranks.ranks[first],
            "last": ranks.ranks[last],
            "bar": place,
        }
        for place, (first, last) in enumerate(ranks.alike)
    ]
    x = number("rank", "mean rank, 1 is the best", domain=[1, len(ranks.rules)])
    y = {
        "field": "row",
        "type": "nominal",
        "title": None,
        "sort": list(ranks.rules),
        "axis": {"labelLimit": 320},
    }
    name = "".join(letter if letter.isalnum() else "-" for letter in ranks.metric)
    drawing = {
        "width": 420,
        "height": {"step": 22},
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.first)"}],
                "mark": {"type": "rule", "strokeWidth": 4, "color": "#808080", "yOffset": 9},
                "encoding": {"x": {**x, "field": "first"}, "x2": {"field": "last"}, "y": y},
            },
            {
                "transform": [{"filter": "isValid(datum.rank)"}],
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": COLOURS[0]},
                "encoding": {"x": x, "y": y},
            },
        ],
    }
    what = "seeds" if ranks.seeds else "settings"
    title = f"{ranks.metric.replace('_', ' ')}: mean ranks over {ranks.settings} {what}"
    return Figure(f"ranks-{name}", title, rows, drawing)
