"""The plots of the page: numbers in, Plotly figures out.

Text that comes from a run is escaped before Plotly sees it, because Plotly reads a little HTML in labels.
Colours of text, grid and paper are left to the page's style sheet, which knows about light, dark and print.
Those of the data follow Okabe and Ito (2008); the blue is lighter, to stand out on near-black as on white.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from fedrobust.report import wording
from fedrobust.report.folder import Epsilon, Evaluation, Interval, Metrics, Round

BLUE, VERMILLION, GREEN, PURPLE, GREY = "#1F7FC0", "#D55E00", "#009E73", "#CC79A7", "#808080"
CLASSES = (
    BLUE,
    "#E69F00",
    GREEN,
    PURPLE,
    "#56B4E9",
    VERMILLION,
    "#882255",
    "#999933",
    "#44AA99",
    "#7B6BB5",
    GREY,
)
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'  # as in the page
NAMES = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auc": "AUC"}
MANY_CLIENTS = 60  # a bar for each more would be thinner than its gap
MANY_ROUNDS = 40  # beyond, markers touch
TICKS = (0, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 255)

# one look for each: colour, symbol, dash
ROUND_LOOKS = {
    "accuracy": (BLUE, "circle", "solid"),
    "balanced_accuracy": (GREEN, "square", "solid"),
    "auc": (PURPLE, "diamond", "solid"),
}
MODEL_LOOKS = ((BLUE, "circle"), (VERMILLION, "square"), (GREEN, "diamond"))
ATTACK_DASHES = ("solid", "dash", "dot", "dashdot")
ATTACKED_SYMBOLS = ("triangle-down", "x", "triangle-up", "cross")


def by_round(rounds: Sequence[Round], selected: int | None = None) -> Any:
    """Draw the global model's test scores by round: 95 % bands, attacked accuracy, the majority-class line.

    Args:
        rounds: those without a test score are passed over.
        selected: the round whose model was kept; marked when given.
    """
    figure = _figure("Round")
    scored = [(one.number, one.evaluation.clean) for one in rounds if one.evaluation.clean]
    markers = len(scored) <= MANY_ROUNDS
    for metric, look in ROUND_LOOKS.items():
        points = [(number, metrics) for number, metrics in scored if metrics.scores[metric] is not None]
        if points:
            numbers = [number for number, _ in points]
            name = "AUC × 100" if metric == "auc" else NAMES[metric]
            _band(
                figure, numbers, [metrics.intervals[metric] for _, metrics in points], look[0], metric, name
            )
            figure.add_trace(_line(numbers, [m for _, m in points], metric, name, look, markers))
    _attacked_by_round(figure, rounds, markers)
    if scored:
        _majority(figure, [scored[0][0], scored[-1][0]], scored[-1][1].majority_rate)
    if selected is not None and len(scored) > 1:
        figure.add_vline(x=selected, line={"color": GREY, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=selected, y=1, yref="paper", yanchor="bottom", text="kept", showarrow=False, font={"size": 12}
        )
    figure.update_xaxes(tickformat="d", unifiedhovertitle={"text": "Round %{x}"})
    if len(scored) > 1:
        first, last = scored[0][0], scored[-1][0]
        room = 0.02 * (last - first)
        figure.update_xaxes(range=[first - room, last + room])
    if len(scored) <= 12:
        figure.update_xaxes(dtick=1)
    return figure


def by_epsilon(models: Mapping[str, Evaluation], classes: int) -> Any:
    """Draw every model's scores against epsilon, one set of traces a score; only the accuracy's are visible.

    The horizontal axis is the square root of the grey levels, so that the small perturbations keep apart.
    Every trace names its score in ``meta.metric``, and every line carries epsilon itself in ``meta.epsilon``.

    Args:
        models: name to evaluation; the clean score stands at epsilon 0.
        classes: the number of classes, for the chance level of the balanced accuracy.
    """
    figure = _figure("ε in grey levels, √ scale")
    largest = 0.0
    for metric in NAMES:
        for (name, evaluation), (colour, symbol) in zip(
            models.items(), _cycle(MODEL_LOOKS, len(models)), strict=True
        ):
            for (attack, table), dash in zip(
                evaluation.attacked.items(), _cycle(ATTACK_DASHES, len(evaluation.attacked)), strict=True
            ):
                points = _with_clean(evaluation.clean, table, metric)
                if not points:
                    continue
                x = [math.sqrt(size.grey) for size, _ in points]
                largest = max(largest, *x)
                group = f"{name}, {wording.attack_name(attack)}"
                _band(figure, x, [m.intervals[metric] for _, m in points], colour, metric, group)
                line = _line(x, [m for _, m in points], metric, group, (colour, symbol, dash), True)
                line.meta["epsilon"] = [size.value for size, _ in points]
                line.customdata = [
                    f"{line.name}<br>ε {html.escape(wording.epsilon(size), quote=False)}<br>{text}"
                    for (size, _), text in zip(points, line.customdata, strict=True)
                ]
                line.hovertemplate = "%{customdata}<extra></extra>"
                figure.add_trace(line)
    rate = next((e.clean.majority_rate for e in models.values() if e.clean), None)
    span = [0.0, largest]
    _majority(figure, span, rate)
    _reference(figure, span, 1 / classes if classes else None, "chance", "balanced_accuracy")
    _reference(figure, span, 0.5, "chance", "auc")
    for trace in figure.data:
        # `visible=False` also leaves the legend, so one toggle switches both.
        trace.visible = trace.meta["metric"] == "accuracy"
    ticks = _ticks(largest)
    figure.update_xaxes(
        tickvals=[math.sqrt(level) for level in ticks],
        ticktext=[f"{level:g}" for level in ticks],
        range=[-0.02 * largest, 1.03 * largest],
    )
    figure.update_layout(hovermode="closest")
    return figure


def by_client(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Any:
    """Draw the training images of every client by class: stacked bars, or a heat map beyond 60 clients.

    Args:
        counts: images by client and class.
        labels: the names of the classes.
    """
    names = [html.escape(label, quote=False) for label in labels]
    columns = [[row[index] for row in counts] for index in range(len(names))]
    if len(counts) > MANY_CLIENTS:
        return _heat_map(columns, names)
    figure = _figure("Client", share=False)
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        figure.add_trace(
            go.Bar(
                x=list(range(len(column))),
                y=column,
                name=name,
                marker={
                    "color": CLASSES[index % len(CLASSES)],
                    "pattern": {"shape": "" if index < len(CLASSES) else "/"},
                },
                hovertemplate="client %{x}<br>%{y:,} images<br>%{fullData.name}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.25, hovermode="closest")
    figure.update_xaxes(tickformat="d")
    if len(counts) <= 30:
        figure.update_xaxes(dtick=1)
    return figure


def _heat_map(columns: list[list[int]], names: list[str]) -> Any:
    totals = [sum(row) for row in zip(*columns, strict=True)]
    # Clients of one size stand by class, so that like stands beside like.
    order = sorted(
        range(len(totals)), key=lambda client: (-totals[client], *(-row[client] for row in columns))
    )
    sorted_columns = [[column[client] for client in order] for column in columns]
    largest = max(max(column) for column in columns)
    ticks = [level for level in (1, 5, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000) if level <= largest]
    figure = _figure("Clients, the largest first", share=False)
    figure.add_trace(
        go.Heatmap(
            x=list(range(len(order))),
            y=list(range(len(names))),
            # Roots keep the many small counts apart; None leaves a hole where a client lacks a class.
            z=[[math.sqrt(value) if value else None for value in column] for column in sorted_columns],
            customdata=[
                [[client, value, name] for client, value in zip(order, column, strict=True)]
                for column, name in zip(sorted_columns, names, strict=True)
            ],
            colorscale="Cividis",
            colorbar={
                "title": {"text": "images"},
                "thickness": 12,
                "outlinewidth": 0,
                "tickvals": [math.sqrt(level) for level in ticks],
                "ticktext": [f"{level:,}" for level in ticks],
            },
            hovertemplate=(
                "client %{customdata[0]}<br>%{customdata[1]:,} images<br>%{customdata[2]}<extra></extra>"
            ),
            hoverongaps=False,
            ygap=2,
        )
    )
    figure.update_layout(hovermode="closest", height=150 + 40 * len(names), showlegend=False)
    figure.update_xaxes(tickformat=",d", showgrid=False)
    # Names of classes can be long, and the plot of a phone is narrow.
    short = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=short, showgrid=False, autorange="reversed"
    )
    return figure


def _attacked_by_round(figure: Any, rounds: Sequence[Round], markers: bool) -> None:
    series: dict[tuple[str, Epsilon], list[tuple[int, Metrics]]] = {}
    for one in rounds:
        for attack, size, metrics in wording.headlines(one.evaluation.attacked):
            series.setdefault((attack, size), []).append((one.number, metrics))
    for index, ((attack, size), points) in enumerate(series.items()):
        symbol = ATTACKED_SYMBOLS[index % len(ATTACKED_SYMBOLS)]
        look = (BLUE, symbol, "dot" if index % 2 else "dash")
        name = f"Accuracy under {wording.attack_name(attack)} {size.name}"
        line = _line(
            [number for number, _ in points], [m for _, m in points], "accuracy", name, look, markers
        )
        figure.add_trace(line)


def _with_clean(
    clean: Metrics | None, table: Mapping[Epsilon, Metrics], metric: str
) -> list[tuple[Epsilon, Metrics]]:
    points = [(Epsilon(0.0, "0"), clean)] if clean else []
    points += [(size, metrics) for size, metrics in table.items() if size.value > 0]
    return [(size, metrics) for size, metrics in points if metrics.scores[metric] is not None]


def _ticks(largest: float) -> list[float]:
    """Choose grey levels to label, up to the root `largest`, far enough apart to be read on a phone."""
    kept: list[float] = []
    for level in reversed(TICKS):
        root = math.sqrt(level)
        if root <= 1.02 * largest and (not kept or math.sqrt(kept[-1]) - root >= 0.09 * largest):
            kept.append(level)
    return kept[::-1]


def _line(
    x: Sequence[float],
    metrics: Sequence[Metrics],
    metric: str,
    name: str,
    look: tuple[str, str, str],
    markers: bool,
) -> Any:
    colour, symbol, dash = look
    return go.Scatter(
        x=list(x),
        y=[one.scores[metric] for one in metrics],
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


def _hover(metrics: Metrics, metric: str) -> str:
    bounds = wording.interval(metric, metrics.intervals[metric])
    text = wording.score(metric, metrics.scores[metric]) + (f" ({bounds})" if bounds else "")
    return f"{text}, {metrics.correct:,} of {metrics.n:,}" if metric == "accuracy" else text


def _band(
    figure: Any, x: Sequence[float], bounds: Sequence[Interval | None], colour: str, metric: str, name: str
) -> None:
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


def _majority(figure: Any, x: Sequence[float], rate: float | None) -> None:
    _reference(figure, x, rate, "always the largest class", "accuracy")


def _reference(figure: Any, x: Sequence[float], value: float | None, name: str, metric: str) -> None:
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


def _figure(x: str, *, share: bool = True) -> Any:
    """Start a figure: `share` fixes the vertical axis to 0-100 %, so that no difference is blown up."""
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


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _cycle(looks: Sequence[Any], number: int) -> list[Any]:
    return [looks[index % len(looks)] for index in range(number)]
