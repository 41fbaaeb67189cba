"""The figures of one cell, flat: what tables, heatmaps and comparisons show of a run."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SCORES = ("accuracy", "balanced_accuracy", "auc", "majority_rate")


def final_figures(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of the selected model, and those of the defence over all rounds.

    Args:
        result: the content of a run's ``result.json``.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``auc``, ``majority_rate``, ``chance`` (of balanced accuracy), ``fgsm 4/255
        accuracy`` and the like, ``attack-success`` and ``attack-success without trigger``; means over rounds of
        ``true-positive-rate`` and ``malicious-influence`` (attacked rounds), ``false-positive-rate`` and
        ``rare-false-positive-rate``; ``rule-seconds`` and ``rule-bytes`` a round; ``seconds`` of the run;
        ``images`` and ``attack-success images``, how many test images the shares are of; ``tolerated`` and
        ``probability-of-more``, where there are attackers and the rule takes their number, and ``oracle``, 1 where that
        is the true one; ``invalid-rounds``, in which
        the attack failed. What was not measured is left out.
    """
    rounds = result.get("rounds") or []
    evaluation = result.get("model-evaluation") or (rounds[-1] if rounds else {})
    figures = evaluation_figures(evaluation)
    classes = len((result.get("dataset") or {}).get("labels") or ())
    if classes:
        figures["chance"] = 1 / classes
    defended = [entry["defence"] for entry in rounds if entry.get("defence")]
    attacked = [each for each in defended if each.get("attacked")]
    for name in ("true-positive-rate", "malicious-influence"):
        figures[name] = _mean(each.get(name) for each in attacked)
    for name in ("false-positive-rate", "rare-false-positive-rate"):
        figures[name] = _mean(each.get(name) for each in defended)
    figures["rule-seconds"] = _mean(each.get("seconds") for each in defended)
    figures["rule-bytes"] = _mean(each.get("bytes") for each in defended)
    figures["distance"] = _mean(
        each["distance"] / each["honest-norm"]
        for each in defended
        if each.get("distance") is not None and each.get("honest-norm")
    )
    figures["refused"] = float(sum((entry.get("clients") or {}).get("failed") or 0 for entry in rounds))
    figures["rounds-without-change"] = float(sum(bool(entry.get("kept")) for entry in rounds))
    figures["seconds"] = float(result.get("seconds") or math.nan)
    tolerance = result.get("tolerance") or {}
    if tolerance.get("malicious") and tolerance.get("told", True):
        figures["tolerated"] = _number(tolerance.get("clients"))
        figures["probability-of-more"] = _number(tolerance.get("probability-of-more"))
        figures["oracle"] = float(tolerance.get("source") == "truth")
    invalid = sum(not each.get("valid", True) for each in defended)
    figures["invalid-rounds"] = float(invalid) if invalid else math.nan
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def evaluation_figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of one evaluation: a round's, or that of the selected model."""
    clean = evaluation.get("clean") or {}
    figures = {name: _number(clean.get(name)) for name in SCORES}
    figures["images"] = _number(clean.get("n"))
    for attack, curve in (evaluation.get("robust") or {}).items():
        for epsilon, metrics in curve.items():
            for name in ("accuracy", "balanced_accuracy"):
                figures[f"{attack} {epsilon} {name}"] = _number(metrics.get(name))
    success = evaluation.get("attack-success") or {}
    figures["attack-success"] = _number(success.get("rate"))
    figures["attack-success without trigger"] = _number(success.get("without-trigger"))
    figures["attack-success images"] = _number(success.get("n"))
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def round_figures(entry: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of one round."""
    figures = evaluation_figures(entry)
    defence = entry.get("defence") or {}
    for name, value in defence.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            figures[name] = float(value)
    clients = entry.get("clients") or {}
    for name in ("trained", "failed", "loss"):
        figures[name] = _number(clients.get(name))
    figures["seconds"] = _number(entry.get("seconds"))
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def strongest_epsilon(names: Sequence[str]) -> str | None:
    """Return the name of the accuracy under FGSM that a heatmap shows: the largest epsilon up to 4/255, else the least.

    Example:
        >>> strongest_epsilon(["accuracy", "fgsm 0.005 accuracy", "fgsm 4/255 accuracy", "fgsm 8/255 accuracy"])
        'fgsm 4/255 accuracy'
    """
    found = {}
    for name in names:
        parts = name.split(" ")
        if len(parts) == 3 and parts[0] == "fgsm" and parts[2] == "accuracy":
            above, _, below = parts[1].partition("/")
            found[float(above) / float(below or 1)] = name
    fitting = [epsilon for epsilon in found if epsilon <= 4 / 255 + 1e-9]
    if not found:
        return None
    return found[max(fitting) if fitting else min(found)]


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
