"""Cells of the tables: counts with intervals, marks, verdicts."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from check_names import short
from scipy import stats

from fedrobust.evaluation.intervals import wilson

Record = Mapping[str, Any]

INSIDE, ABOVE, BELOW = "●", "▲", "▼"
ANEW = "‡"
NONE = "–"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as a number of percent, without the sign.

    Example:
        >>> percent(0.7885)
        '78.8'
    """
    return NONE if value is None else f"{100 * value:.{digits}f}"


def counted(correct: int, n: int) -> str:
    """Return a count with its share and its 95 % interval (Wilson).

    Example:
        >>> counted(114, 156)
        '114/156 = 73.1 (65.6–79.4)'
    """
    low, high = wilson(correct, n)
    return f"{correct}/{n} = {percent(correct / n)} ({percent(low)}–{percent(high)})"


def ranged(value: float | None, interval: Sequence[float] | None, digits: int = 1) -> str:
    """Return a share with its interval."""
    if value is None or interval is None:
        return percent(value, digits)
    return f"{percent(value, digits)} ({percent(interval[0], digits)}–{percent(interval[1], digits)})"


def mark(correct: int, n: int, printed: float) -> str:
    """Return the mark of a comparison: the paper's share inside our interval (●), ours above it (▲), or below (▼).

    Example:
        >>> mark(123, 156, 0.7885), mark(150, 156, 0.7885), mark(100, 156, 0.7885)
        ('●', '▲', '▼')
    """
    low, high = wilson(correct, n)
    return INSIDE if low <= printed <= high else ABOVE if printed < low else BELOW


def verdict(audit: Mapping[str, Any] | None) -> str:
    """Return the verdict of an audit with the checks that decided it, marked if one of these was applied anew.

    Example:
        >>> verdict({"word": "not proven", "deciding": ["control: no better than the undefended model"], "anew": True})
        '**not proven**: no better than control ‡'
    """
    if audit is None:
        return NONE
    deciding = f": {', '.join(map(short, audit['deciding']))}" if audit["deciding"] else ""
    return f"**{audit['word']}**{deciding}" + (f" {ANEW}" if audit.get("anew") else "")


def course(counts: Sequence[int], epsilons: Sequence[str], n: int) -> str:
    """Return the anomalies of accuracy as a function of epsilon; "" if it decreases as expected.

    It rises where a single step overshoots or leaks the label. It hardly falls if the last count is within the clean
    count's interval: then the model is robust or constant, or its gradients are masked.

    Args:
        counts: correct predictions: clean first, then one for each epsilon.
        epsilons: their names.
        n: images.

    Example:
        >>> course([131, 111, 88], ["0.001", "0.002"], 156), course([112, 114, 117], ["0.001", "0.002"], 156)
        ('', 'rises at 0.001, 0.002; hardly falls')
    """
    rises = [name for (before, after), name in zip(pairwise(counts), epsilons, strict=True) if after > before]
    said = [f"rises at {', '.join(rises)}"] if rises else []
    if counts[-1] / n >= wilson(counts[0], n)[0]:
        said.append("hardly falls")
    return "; ".join(said)


def control(audit: Mapping[str, Any] | None) -> str:
    """Return whether an audited model is more robust than its control; a dash without a control."""
    if audit is None or audit["control"] == "not applicable":
        return NONE
    return "no" if audit["control"] == "failed" else "yes"


def over_seeds(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval (Student's t); the interval of one value is the value.

    Example:
        >>> [round(x, 3) for x in over_seeds([0.8, 0.9, 1.0])]
        [0.9, 0.652, 1.148]
    """
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, mean, mean
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return mean, mean - half, mean + half


def seeds(values: Sequence[float]) -> str:
    """Return shares of several seeds as mean and interval, cut at 0 and 1."""
    mean, low, high = over_seeds(values)
    return f"{percent(mean)} ({percent(max(low, 0))}–{percent(min(high, 1))})"
