"""The plot of a defence by round: who was rejected, the attackers' weight, and the success of their attack."""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from fedrobust.report.plots.style import BLUE, GREEN, GREY, PURPLE, VERMILLION, blank_figure
from fedrobust.runs.record import DefenceRecord, RoundRecord

Defended = tuple[RoundRecord, DefenceRecord]

LINES: tuple[tuple[str, str, str, Callable[[Defended], float | None]], ...] = (
    ("Malicious rejected", BLUE, "circle", lambda one: one[1].true_positive_rate if _attacked(one) else None),
    ("Honest rejected", GREEN, "square", lambda one: one[1].false_positive_rate),
    (
        "Unusual honest rejected",
        GREY,
        "triangle-up",
        lambda one: one[1].rare_false_positive_rate,
    ),
    ("Attackers’ weight", PURPLE, "diamond", lambda one: one[1].malicious_influence),
    ("Attack success", VERMILLION, "x", lambda one: _success(one)),
)
"""Name, colour and marker of each line, and the share that it shows."""


def by_defence(rounds: Sequence[Defended]) -> Any:
    """Plot the shares of each round with a defence; None where fewer than two rounds have any of them.

    Rounds without an attack, or with a failed one, have no detection rate, and leave a gap.
    """
    figure = blank_figure("Round")
    numbers = [one.round for one, _ in rounds]
    for name, colour, symbol, share in LINES:
        shares = [share(one) for one in rounds]
        if sum(value is not None for value in shares) < 2:
            continue
        figure.add_trace(
            go.Scatter(
                x=numbers,
                y=shares,
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"symbol": symbol, "size": 8},
                cliponaxis=False,
                hovertemplate="%{y:.1%}",
            )
        )
    figure.update_xaxes(tickformat="d", unifiedhovertitle={"text": "Round %{x}"})
    if len(numbers) <= 12:
        figure.update_xaxes(dtick=1)
    return figure if figure.data else None


def _attacked(one: Defended) -> bool:
    return one[1].attacked and one[1].valid


def _success(one: Defended) -> float | None:
    success = one[0].attack_success
    return success.rate if success and one[1].valid else None
