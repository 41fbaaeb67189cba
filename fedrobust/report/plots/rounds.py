"""The plot of scores by round."""

from collections.abc import Sequence
from typing import Any

from fedrobust.report import wording
from fedrobust.report.epsilon import Epsilon
from fedrobust.report.folder import Round
from fedrobust.report.plots.style import (
    BLUE,
    GREEN,
    GREY,
    NAMES,
    PURPLE,
    band,
    blank_figure,
    majority,
    score_line,
)
from fedrobust.runs.record import MetricsRecord

MANY_ROUNDS = 40  # beyond, markers touch

# one style for each: colour, symbol, dash
ROUND_LOOKS = {
    "accuracy": (BLUE, "circle", "solid"),
    "balanced_accuracy": (GREEN, "square", "solid"),
    "auc": (PURPLE, "diamond", "solid"),
}
ATTACKED_SYMBOLS = ("triangle-down", "x", "triangle-up", "cross")


def by_round(rounds: Sequence[Round], selected: int | None = None) -> Any:
    """Plot the global model's test scores by round: with 95 % bands, attacked accuracy and majority rate.

    Args:
        rounds: those without a test score are left out.
        selected: the round of the selected model, to mark.
    """
    figure = blank_figure("Round")
    scored = [(one.number, one.evaluation.clean) for one in rounds if one.evaluation.clean]
    markers = len(scored) <= MANY_ROUNDS
    for metric, look in ROUND_LOOKS.items():
        points = [(number, metrics) for number, metrics in scored if metrics.score(metric) is not None]
        if points:
            numbers = [number for number, _ in points]
            name = "AUC × 100" if metric == "auc" else NAMES[metric]
            band(figure, numbers, [metrics.limits(metric) for _, metrics in points], look[0], metric, name)
            figure.add_trace(score_line(numbers, [m for _, m in points], metric, name, look, markers))
    _attacked_by_round(figure, rounds, markers)
    if scored:
        majority(figure, [scored[0][0], scored[-1][0]], scored[-1][1].majority_rate)
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


def _attacked_by_round(figure: Any, rounds: Sequence[Round], markers: bool) -> None:
    series: dict[tuple[str, Epsilon], list[tuple[int, MetricsRecord]]] = {}
    for one in rounds:
        for attack, size, metrics in wording.headlines(one.evaluation.attacked):
            series.setdefault((attack, size), []).append((one.number, metrics))
    for index, ((attack, size), points) in enumerate(series.items()):
        symbol = ATTACKED_SYMBOLS[index % len(ATTACKED_SYMBOLS)]
        look = (BLUE, symbol, "dot" if index % 2 else "dash")
        name = f"Accuracy under {wording.attack_name(attack)} {size.name}"
        line = score_line(
            [number for number, _ in points], [m for _, m in points], "accuracy", name, look, markers
        )
        figure.add_trace(line)
