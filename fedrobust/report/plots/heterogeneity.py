"""The plot of clients' distances from the federation: labels across, images upwards."""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from fedrobust.report.plots.style import BLUE, GREY, VERMILLION, blank_figure
from fedrobust.runs.record import HeterogeneityRecord

LARGEST, SMALLEST = 26.0, 7.0
"""Diameters in pixels of the client with the most images, and of the smallest marker."""

MOST_NAMED = 20
"""Clients that are named beside their markers."""


def by_distance(found: HeterogeneityRecord, sites: Sequence[str] = ()) -> Any:
    """Plot every client by its label distance and image distance; areas of markers are numbers of images.

    Dashed lines are the means of random divisions of the same images.

    Args:
        found: the distances.
        sites: the names of the clients, where each is a site; otherwise they are numbered.
    """
    clients = range(len(found.label_distance))
    named = len(sites) == len(clients)
    names = [html.escape(sites[client], quote=False) if named else str(client) for client in clients]
    differ = {*found.label_differs, *found.image_differs}
    figure = blank_figure("Labels: total variation distance from all", share=False)
    for title, colour, chosen in (
        ("as in a random division", BLUE, [client for client in clients if client not in differ]),
        ("differs in labels or images", VERMILLION, sorted(differ)),
    ):
        figure.add_trace(
            go.Scatter(
                x=[found.label_distance[client] for client in chosen],
                y=[found.image_distance[client] for client in chosen],
                mode="markers+text" if len(names) <= MOST_NAMED else "markers",
                text=[names[client] for client in chosen],
                textposition="top center",
                customdata=[found.images[client] for client in chosen],
                marker={
                    "color": colour,
                    "opacity": 0.75,
                    "size": [_size(found, client) for client in chosen],
                },
                name=title,
                hovertemplate="client %{text}<br>labels %{x:.2f}<br>images %{y:.2f}<br>"
                "%{customdata:,} images<extra></extra>",
            )
        )
    line = {"color": GREY, "dash": "dash", "width": 1}
    if found.random_label_index is not None and found.random_image_index is not None:
        figure.add_vline(x=found.random_label_index, line=line)
        figure.add_hline(y=found.random_image_index, line=line)
    figure.update_layout(hovermode="closest", legend={"itemsizing": "constant"})
    figure.update_xaxes(rangemode="tozero", tickformat=".2f")
    figure.update_yaxes(tickformat=".2f", title={"text": "Images: standard deviations"})
    return figure


def _size(found: HeterogeneityRecord, client: int) -> float:
    return max(SMALLEST, LARGEST * (found.images[client] / max(found.images)) ** 0.5)
