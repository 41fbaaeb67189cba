"""The figures of a run as named scalars: a scalar's name is its path in ``result.json``."""

import math
from collections.abc import Mapping
from typing import Any

from fedrobust.runs.codec import to_json
from fedrobust.runs.record import RoundRecord, RunRecord

LEFT_OUT = frozenset({"n", "correct", "majority_rate", "interval", "bytes", "round"})
"""Keys of a round that would fill a tracker's page with constants; all are in ``result.json``."""


def round_scalars(record: RoundRecord) -> dict[str, float]:
    """Return the figures of one round, such as ``clean/accuracy``, ``robust/fgsm/0.005/auc``, ``clients/loss``.

    Figures that were not measured, lists and intervals are left out.

    Example:
        >>> round_scalars(RoundRecord(round=1, seconds=2.5, pgd_probe=0.75))["pgd-probe"]
        0.75
    """
    return scalars(record.plain, LEFT_OUT)


def final_scalars(run: RunRecord) -> dict[str, float]:
    """Return the final figures: global model, student, exports and audit, with the limits of their 95 % intervals.

    ``robust/accuracy`` is the share of images that are classified correctly under every attack of the audit.
    """
    models: dict[str, Any] = {"global": run.model_evaluation, "central": run.central}
    if run.student is not None:
        models["student"] = {"clean": run.student.clean, "robust": run.student.robust}
    if run.audit is not None:
        models["robust"] = run.audit.standing
    models["export"] = {one.file: one.metrics for one in run.export}
    plain = {name: _plain(value) for name, value in models.items() if value is not None}
    found = scalars(plain, LEFT_OUT - {"interval"})
    return found if run.seconds is None else {**found, "seconds": run.seconds}


def scalars(tables: Mapping[str, Any], left_out: frozenset[str] = frozenset()) -> dict[str, float]:
    """Return the finite numbers in nested tables by their paths; a 95 % interval gives its two limits.

    Example:
        >>> scalars({"clean": {"auc": 0.9, "loss": None, "interval": {"auc": [0.8, 0.95]}}})
        {'clean/auc': 0.9, 'clean/interval/auc/low': 0.8, 'clean/interval/auc/high': 0.95}
    """
    found: dict[str, float] = {}
    for name, value in tables.items():
        if name in left_out:
            continue
        if name == "interval" and isinstance(value, Mapping):
            value = {key: _limits(pair) for key, pair in value.items() if _is_pair(pair)}
        if isinstance(value, Mapping):
            found.update({f"{name}/{path}": number for path, number in scalars(value, left_out).items()})
        elif _is_number(value):
            found[name] = float(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if each is not None}
    return to_json(value)


def _limits(pair: list[float]) -> dict[str, float]:
    return {"low": pair[0], "high": pair[1]}


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
