"""A figure: its data as rows, and how they are drawn, as a Vega-Lite description without data."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Rows = Sequence[Row]

COLOURS = (
    "#1F7FC0",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#882255",
    "#999933",
    "#44AA99",
    "#808080",
)
"""Of series in their order, after Okabe and Ito (2008)."""

CONFIG: Mapping[str, Any] = {
    "background": "white",
    "font": "Liberation Sans, Arial, sans-serif",
    "axis": {"labelFontSize": 11, "titleFontSize": 12, "gridColor": "#e6e6e6"},
    "legend": {"labelFontSize": 11, "labelLimit": 400, "title": None, "orient": "bottom", "columns": 2},
    "title": {"fontSize": 13, "anchor": "start"},
    "view": {"stroke": "#cccccc"},
    "range": {"category": list(COLOURS)},
}


LONGEST_TITLE = 72
"""Letters of a title's line: longer ones would widen the drawing, and lose their end where its font is missing."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: of its files, without an ending.
        title: what it shows.
        rows: its data, all with the same keys: the columns of its table.
        drawing: marks and encodings in Vega-Lite.
    """

    name: str
    title: str
    rows: Rows
    drawing: Mapping[str, Any]

    @property
    def description(self) -> dict[str, Any]:
        """The whole description in Vega-Lite, with the data."""
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "config": CONFIG,
            "title": textwrap.wrap(self.title, LONGEST_TITLE) or "",
            "data": {"values": [dict(row) for row in self.rows]},
            **self.drawing,
        }
