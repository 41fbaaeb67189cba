"""The common style of plots: colours, axes, lines with intervals, reference lines.

Text from a run is escaped, because Plotly interprets some HTML in labels. Colours of text, grid and background are set
by the page's style sheet, for light, dark and print. Those of the data follow Okabe and Ito (2008), with a lighter
blue, for contrast on near-black and white.
"""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from fedrobust.report import wording
from fedrobust.runs.record import Interval, MetricsRecord

BLUE, VERMILLION, GREEN, PURPLE, GREY = "#1F7FC0", "#D55E00", "#009E73", "#CC79A7", "#808080"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'  # as in the page
NAMES = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auc": "AUC"}


def blank_figure(x: str, *, share: bool = True) -> Any:
    """Return an empty figure; `share` fixes the vertical axis to 0-100 %, so that differences are not exaggerated."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=400,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "color": "#333333", "family": FONT},
        hovermode="x unified",
        hoverlabel={"align": "left", "namelength": -1, "font": {"family": FONT, "size": 13}},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
        showlegend=True,
    )
    axis = {
        "automargin": True,
        "gridcolor": "#e6e6e6",
        "zeroline": False,
        "showline": False,
        "fixedrange": True,
    }
    axis |= {"tickangle": 0, "showspikes": False}
    figure.update_xaxes(**axis, title={"text": x, "standoff": 10})
    figure.update_yaxes(**axis)
    if share:
        shares = [0, 0.2, 0.4, 0.6, 0.8, 1]
        labels = [f"{100 * share:.0f}{wording.THIN}%" for share in shares]
        figure.update_yaxes(range=[-0.01, 1.03], tickvals=shares, ticktext=labels)
    else:
        figure.update_yaxes(rangemode="tozero", tickformat=",")
    return figure


def score_line(
    x: Sequence[float],
    metrics: Sequence[MetricsRecord],
    metric: str,
    name: str,
    look: tuple[str, str, str],
    markers: bool,
) -> Any:
    """Return one line of scores, with intervals in the hover text."""
    colour, symbol, dash = look
    return go.Scatter(
        x=list(x),
        y=[one.score(metric) for one in metrics],
        name=html.escape(name, quote=False),
        legendgroup=html.escape(name, quote=False),
        mode="lines+markers" if markers else "lines",
        line={"color": colour, "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 8},
        cliponaxis=False,
        customdata=[_hover(one, metric) for one in metrics],
        hovertemplate="%{customdata}",
        meta={"metric": metric},
    )


def _hover(metrics: MetricsRecord, metric: str) -> str:
    bounds = wording.interval(metric, metrics.limits(metric))
    text = wording.score(metric, metrics.score(metric)) + (f" ({bounds})" if bounds else "")
    return f"{text}, {metrics.right}" if metric == "accuracy" else text


def band(
    figure: Any, x: Sequence[float], bounds: Sequence[Interval | None], colour: str, metric: str, name: str
) -> None:
    """Add the 95 % intervals of a line, if at least two of its points have one."""
    known = [(at, both) for at, both in zip(x, bounds, strict=True) if both]
    if len(known) < 2:
        return
    edge = [at for at, _ in known]
    group = html.escape(name, quote=False)
    figure.add_trace(
        go.Scatter(
            x=edge + edge[::-1],
            y=[both[1] for _, both in known] + [both[0] for _, both in reversed(known)],
            fill="toself",
            fillcolor=_faint(colour),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            name=f"{group}, 95 % interval",
            legendgroup=group,
            meta={"metric": metric},
        )
    )


def majority(figure: Any, x: Sequence[float], rate: float | None) -> None:
    """Add the majority rate."""
    reference(figure, x, rate, "always the largest class", "accuracy")


def reference(figure: Any, x: Sequence[float], value: float | None, name: str, metric: str) -> None:
    """Add a horizontal line with a name."""
    if value is None:
        return
    figure.add_trace(
        go.Scatter(
            x=list(x),
            y=[value] * len(x),
            name=name,
            mode="lines",
            line={"color": GREY, "width": 1.5, "dash": "longdashdot"},
            hoverinfo="skip",
            meta={"metric": metric},
        )
    )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def cycle(looks: Sequence[Any], number: int) -> list[Any]:
    """Return `number` styles, repeating the given ones."""
    return [looks[index % len(looks)] for index in range(number)]
