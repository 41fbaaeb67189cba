"""Drawings that several figures share: lines with bands, bars, dots with intervals, matrices."""

from collections.abc import Sequence
from typing import Any

from fedrobust.figures.figure import COLOURS, Rows

SIZE = {"width": 420, "height": 260}


def share(field: str, title: str) -> dict[str, Any]:
    """Return an axis of shares, from 0 to 100 %, so that differences are not exaggerated."""
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "axis": {"format": ".0%"},
        "scale": {"domain": [0, 1]},
    }


def number(field: str, title: str, **scale: Any) -> dict[str, Any]:
    """Return an axis of numbers."""
    axis = {"field": field, "type": "quantitative", "title": title}
    return {**axis, "scale": scale} if scale else axis


def series(rows: Rows, field: str = "series") -> dict[str, Any]:
    """Return the colour of each series, in the order of the rows."""
    names = list(dict.fromkeys(row[field] for row in rows))
    colours = [COLOURS[place % len(COLOURS)] for place in range(len(names))]
    return {"field": field, "type": "nominal", "scale": {"domain": names, "range": colours}, "sort": names}


def lines(rows: Rows, x: dict[str, Any], y: dict[str, Any], marks: bool = True) -> dict[str, Any]:
    """Return lines through the points of each series, with the band between ``low`` and ``high`` where it is known."""
    colour = series(rows)
    band = {
        "transform": [{"filter": "isValid(datum.low) && isValid(datum.high)"}],
        "mark": {"type": "area", "opacity": 0.15},
        "encoding": {
            "x": x,
            "y": {**y, "field": "low"},
            "y2": {"field": "high"},
            "color": colour,
        },
    }
    # Missing values leave a gap, and the order is that of the rows: ROC curves rise.
    line = {
        "mark": {"type": "line", "point": marks, "strokeWidth": 2},
        "encoding": {"x": x, "y": y, "color": colour, "order": {"field": "order", "type": "quantitative"}},
    }
    bands = [band] if any("low" in row for row in rows) else []
    return {
        **SIZE,
        "transform": [{"window": [{"op": "row_number", "as": "order"}]}],
        "layer": [*bands, line],
    }


def diagonal() -> dict[str, Any]:
    """Return the line from (0, 0) to (1, 1), as a layer."""
    return {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": "#808080", "strokeWidth": 1},
        "encoding": {
            "x": {"field": "x", "type": "quantitative"},
            "y": {"field": "y", "type": "quantitative"},
        },
    }


def dots(rows: Rows, value: dict[str, Any], category: dict[str, Any], by: str = "") -> dict[str, Any]:
    """Return a dot for each row with the interval between ``low`` and ``high``.

    Args:
        rows: the data.
        value: axis of the value.
        category: the other axis.
        by: field of the colour; empty: one colour.
    """
    colour = {"color": series(rows, by)} if by else {"color": {"value": COLOURS[0]}}
    across = category["field"] == "row"
    ends = {"x": category, "y": {**value, "field": "low"}, "y2": {"field": "high"}}
    if across:
        ends = {"y": category, "x": {**value, "field": "low"}, "x2": {"field": "high"}}
    place = {"y": category, "x": value} if across else {"x": category, "y": value}
    size: dict[str, Any] = {"width": 420, "height": {"step": 26}} if across else dict(SIZE)
    return {
        **size,
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.low) && isValid(datum.high)"}],
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {**ends, **colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {**place, **colour},
            },
        ],
    }


def bars(rows: Rows, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    """Return stacked bars, a colour a series."""
    return {**SIZE, "mark": "bar", "encoding": {"x": x, "y": y, "color": series(rows)}}


def matrix(labels: Sequence[str]) -> dict[str, Any]:
    """Return a matrix of ``truth`` and ``answer``, coloured by ``share``, with the number ``n`` in each field."""
    x = {"field": "answer", "type": "nominal", "sort": list(labels), "title": "answer"}
    y = {"field": "truth", "type": "nominal", "sort": list(labels), "title": "true class"}
    step = max(26, 200 // max(1, len(labels)))
    colour = {"field": "share", "type": "quantitative", "scale": {"scheme": "blues", "domain": [0, 1]}}
    dark = {"condition": {"test": "datum.share > 0.5", "value": "white"}, "value": "black"}
    return {
        "width": {"step": step},
        "height": {"step": step},
        "layer": [
            {"mark": "rect", "encoding": {"x": x, "y": y, "color": {**colour, "legend": None}}},
            {"mark": "text", "encoding": {"x": x, "y": y, "text": {"field": "n"}, "color": dark}},
        ],
    }
