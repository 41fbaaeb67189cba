"""The plot of scores against epsilon."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedrobust.report import wording
from fedrobust.report.epsilon import Epsilon, in_words
from fedrobust.report.evaluation import Evaluation
from fedrobust.report.plots.style import (
    BLUE,
    GREEN,
    NAMES,
    VERMILLION,
    band,
    blank_figure,
    cycle,
    majority,
    reference,
    score_line,
)
from fedrobust.runs.record import MetricsRecord

TICKS = (0, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 255)
TICKS_OF_VALUES = (0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, *TICKS[1:])
MODEL_LOOKS = ((BLUE, "circle"), (VERMILLION, "square"), (GREEN, "diamond"))
ATTACK_DASHES = ("solid", "dash", "dot", "dashdot")


def by_epsilon(models: Mapping[str, Evaluation], norm: str) -> Any:
    """Plot every model's scores against epsilon, one set of traces per score; those of accuracy are visible first.

    The horizontal axis is the square root of epsilon, which separates small perturbations: of its grey levels where
    the norm is linf, else of its value. Every trace has its
    score in ``meta.metric``, and every line its epsilons in ``meta.epsilon``.

    Args:
        models: name -> evaluation; the clean score is at epsilon 0.
        norm: of the epsilons.
    """
    figure = blank_figure(f"{in_words(norm)}, √ scale")
    largest = 0.0
    for metric in NAMES:
        for (name, evaluation), (colour, symbol) in zip(
            models.items(), cycle(MODEL_LOOKS, len(models)), strict=True
        ):
            for (attack, table), dash in zip(
                evaluation.attacked.items(), cycle(ATTACK_DASHES, len(evaluation.attacked)), strict=True
            ):
                points = _with_clean(evaluation.clean, table, metric)
                if not points:
                    continue
                x = [math.sqrt(size.on_axis) for size, _ in points]
                largest = max(largest, *x)
                group = f"{name}, {wording.attack_name(attack)}"
                band(figure, x, [m.limits(metric) for _, m in points], colour, metric, group)
                line = score_line(x, [m for _, m in points], metric, group, (colour, symbol, dash), True)
                line.meta["epsilon"] = [size.value for size, _ in points]
                line.customdata = [
                    f"{line.name}<br>ε {html.escape(wording.epsilon(size), quote=False)}<br>{text}"
                    for (size, _), text in zip(points, line.customdata, strict=True)
                ]
                line.hovertemplate = "%{customdata}<extra></extra>"
                figure.add_trace(line)
    clean = next((e.clean for e in models.values() if e.clean), None)
    rate, chance = (clean.majority_rate, clean.chance) if clean else (None, None)
    span = [0.0, largest]
    majority(figure, span, rate)
    reference(figure, span, chance, "chance", "balanced_accuracy")
    reference(figure, span, 0.5, "chance", "auc")
    for trace in figure.data:
        # `visible=False` also leaves the legend, so one toggle switches both.
        trace.visible = trace.meta["metric"] == "accuracy"
    ticks = _ticks(largest, TICKS if norm == "linf" else TICKS_OF_VALUES)
    figure.update_xaxes(
        tickvals=[math.sqrt(level) for level in ticks],
        ticktext=[f"{level:g}" for level in ticks],
        range=[-0.02 * largest, 1.03 * largest],
    )
    figure.update_layout(hovermode="closest")
    return figure


def _with_clean(
    clean: MetricsRecord | None, table: Mapping[Epsilon, MetricsRecord], metric: str
) -> list[tuple[Epsilon, MetricsRecord]]:
    points = [(Epsilon(0.0, "0"), clean)] if clean else []
    points += [(size, metrics) for size, metrics in table.items() if size.value > 0]
    return [(size, metrics) for size, metrics in points if metrics.score(metric) is not None]


def _ticks(largest: float, levels: Sequence[float]) -> list[float]:
    """Return those of `levels` to label, up to the square root `largest`, at readable distances on a phone."""
    kept: list[float] = []
    for level in reversed(levels):
        root = math.sqrt(level)
        if root <= 1.02 * largest and (not kept or math.sqrt(kept[-1]) - root >= 0.09 * largest):
            kept.append(level)
    return kept[::-1]
