"""The plot of clients' images by class."""

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from fedrobust.report.plots.style import BLUE, GREEN, GREY, PURPLE, VERMILLION, blank_figure

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
MANY_CLIENTS = 60  # a bar for each more would be thinner than its gap


def by_client(
    counts: Sequence[Sequence[int]], labels: Sequence[str], sites: Sequence[str] = (), noun: str = "images"
) -> Any:
    """Plot the training images of every client by class: stacked bars, or a heatmap for over 60 clients.

    An image may have several findings: bars are then as long as all findings together.

    Args:
        counts: images by client and class.
        labels: the names of the classes.
        sites: the names of the clients, where each is a site; otherwise they are numbered, as in a heatmap.
        noun: what is counted, images or findings.
    """
    clients: list[int] | list[str] = list(range(len(counts)))
    if len(sites) == len(counts):
        clients = [html.escape(site, quote=False) for site in sites]
    names = [html.escape(label, quote=False) for label in labels]
    columns = [[row[index] for row in counts] for index in range(len(names))]
    if len(counts) > MANY_CLIENTS:
        return _heat_map(columns, names, noun)
    figure = blank_figure("Client", share=False)
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        figure.add_trace(
            go.Bar(
                x=clients,
                y=column,
                name=name,
                marker={
                    "color": CLASSES[index % len(CLASSES)],
                    "pattern": {"shape": "" if index < len(CLASSES) else "/"},
                },
                hovertemplate=f"client %{{x}}<br>%{{y:,}} {noun}<br>%{{fullData.name}}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.25, hovermode="closest")
    figure.update_xaxes(tickformat=None if sites else "d", type="category" if sites else None)
    if len(counts) <= 30 and not sites:
        figure.update_xaxes(dtick=1)
    return figure


def _heat_map(columns: list[list[int]], names: list[str], noun: str) -> Any:
    totals = [sum(row) for row in zip(*columns, strict=True)]
    # Clients of the same size are sorted by class.
    order = sorted(
        range(len(totals)), key=lambda client: (-totals[client], *(-row[client] for row in columns))
    )
    sorted_columns = [[column[client] for client in order] for column in columns]
    largest = max(max(column) for column in columns)
    ticks = [level for level in (1, 5, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000) if level <= largest]
    figure = blank_figure("Clients, the largest first", share=False)
    figure.add_trace(
        go.Heatmap(
            x=list(range(len(order))),
            y=list(range(len(names))),
            # Square roots separate small counts; None leaves a gap for a class without images.
            z=[[math.sqrt(value) if value else None for value in column] for column in sorted_columns],
            customdata=[
                [[client, value, name] for client, value in zip(order, column, strict=True)]
                for column, name in zip(sorted_columns, names, strict=True)
            ],
            colorscale="Cividis",
            colorbar={
                "title": {"text": noun},
                "thickness": 12,
                "outlinewidth": 0,
                "tickvals": [math.sqrt(level) for level in ticks],
                "ticktext": [f"{level:,}" for level in ticks],
            },
            hovertemplate=(
                f"client %{{customdata[0]}}<br>%{{customdata[1]:,}} {noun}<br>%{{customdata[2]}}<extra></extra>"
            ),
            hoverongaps=False,
            ygap=2,
        )
    )
    figure.update_layout(hovermode="closest", height=150 + 40 * len(names), showlegend=False)
    figure.update_xaxes(tickformat=",d", showgrid=False)
    # Class names may be long, and plots on phones are narrow.
    short = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=short, showgrid=False, autorange="reversed"
    )
    return figure
