"""The harm of attacks and the cost of rules: differences between a cell of a sweep and its control."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fedrobust.sweeps.row import Row
from fedrobust.sweeps.values import flattened, of_result

SCORES = ("balanced_accuracy", "auc")

TOLERANCE = ("federation.tolerate", "federation.tolerate-quantile")
RULE = ("federation.aggregator", "federation.pre-aggregators")
IGNORED = ("name", "poisoning.", *TOLERANCE)
"""Settings in which a cell and its control may differ, beside those that change no result."""


def with_controls(rows: Sequence[Row]) -> list[Row]:
    """Return the cells with further metrics, where the sweep has their controls.

    ``harm balanced_accuracy`` and ``harm auc`` of a cell with an attack: what it loses against the cell with the same
    settings and seed without an attack. ``cost balanced_accuracy`` and ``cost auc`` of a cell without an attack: what
    its rule loses against the plain mean. Both may be negative: a control has noise of its own.
    """
    calm = [row for row in rows if row.status == "finished" and not is_attacked(row)]
    controls = by_settings(calm, IGNORED)
    means = by_settings([row for row in calm if is_mean(row)], (*IGNORED, *RULE))
    found = []
    for row in rows:
        figures: dict[str, float] = {}
        if row.status == "finished" and is_attacked(row):
            figures = less("harm", row, control_of(row, controls.get(settings_of(row, IGNORED), [])))
        elif row.status == "finished" and not is_mean(row):
            same = means.get(settings_of(row, (*IGNORED, *RULE)), [])
            figures = less("cost", row, next(iter(same), None))
        found.append(replace(row, figures={**row.figures, **figures}) if figures else row)
    return found


def is_attacked(row: Row) -> bool:
    """Return whether a cell has an attack."""
    return bool(row.section("poisoning").get("attack", "none") != "none")


def is_mean(row: Row) -> bool:
    """Return whether a cell's rule is the plain mean."""
    federation = row.section("federation")
    return federation.get("aggregator", "mean") == "mean" and not federation.get("pre-aggregators")


def control_of(row: Row, controls: Sequence[Row]) -> Row | None:
    """Return the control of a cell among cells with the same settings: that whose rule tolerates as many clients."""
    tolerate = row.section("federation").get("tolerate")
    own = row.figures.get("tolerated") if tolerate is None else tolerate
    if len(controls) < 2 or own is None:
        return next(iter(controls), None)
    return next((one for one in controls if one.section("federation").get("tolerate") == own), None)


def less(name: str, row: Row, control: Row | None) -> dict[str, float]:
    """Return what a cell loses against its control, in each score that both have."""
    if control is None:
        return {}
    return {
        f"{name} {score}": control.figures[score] - row.figures[score]
        for score in SCORES
        if score in control.figures and score in row.figures
    }


def by_settings(rows: Iterable[Row], ignored: Sequence[str]) -> dict[str, list[Row]]:
    """Return the cells by their settings, except those that are `ignored`."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(settings_of(row, ignored), []).append(row)
    return found


def settings_of(row: Row, ignored: Sequence[str]) -> str:
    """Return the settings of a cell that may change its result as text.

    Except keys that are `ignored`, or begin with an ignored ``table.``.
    """
    kept = {
        key: value
        for key, value in of_result(flattened(row.experiment)).items()
        if not any(key == one or (one.endswith(".") and key.startswith(one)) for one in ignored)
    }
    return json.dumps(kept, sort_keys=True, default=str)
