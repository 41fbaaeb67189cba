"""Settings and rules that are ranked: what varies beside the rules, and an f that only some rules take."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedrobust.sweeps.controls import TOLERANCE


def with_own_tolerance(settings: Sequence[Mapping[str, Any]], rules: Sequence[str]) -> list[tuple[str, str]]:
    """Return each run's setting as text, by which runs of different rules are compared, and its rule.

    Whether a run has an f is up to its rule: the mean takes none. Where all runs of a setting that have one have the
    same, it is left out. Where they differ it was varied, and is kept; but if some rule has none there, no setting
    would have all rules: the f is then part of the name of each rule whose f was varied.

    Args:
        settings: of each run what varies beside rule and seed; None or NaN where a run has no value.
        rules: of each run.

    Example:
        >>> with_own_tolerance([{"attack": "ipm"}, {"attack": "ipm", "federation.tolerate": 2}], ["mean", "krum"])
        [("{'attack': 'ipm'}", 'mean'), ("{'attack': 'ipm'}", 'krum')]
        >>> with_own_tolerance([{"federation.tolerate": 1}, {"federation.tolerate": 2}], ["krum", "krum"])
        [("{'federation.tolerate': '1'}", 'krum'), ("{'federation.tolerate': '2'}", 'krum')]
        >>> with_own_tolerance([{}, {"federation.tolerate": 1}, {"federation.tolerate": 2}], ["mean", "krum", "krum"])
        [('{}', 'mean'), ('{}', 'krum (tolerate 1)'), ('{}', 'krum (tolerate 2)')]
    """
    texts = [{key: _text(value) for key, value in one.items() if _is_known(value)} for one in settings]
    others = [str({key: value for key, value in one.items() if key not in TOLERANCE}) for one in texts]
    own = [_told({key: one[key] for key in TOLERANCE if key in one}) for one in texts]
    given: dict[str, dict[str, set[str]]] = {}
    for other, rule, its in zip(others, rules, own, strict=True):
        given.setdefault(other, {}).setdefault(rule, set()).update({its} if its else set())
    varied = {other for other, by_rule in given.items() if len(set[str]().union(*by_rule.values())) > 1}
    if not any(set() in given[other].values() for other in varied):
        kept = [str(one) if other in varied else other for one, other in zip(texts, others, strict=True)]
        return list(zip(kept, rules, strict=True))
    several = {rule for by_rule in given.values() for rule, its in by_rule.items() if len(its) > 1}
    names = [
        f"{rule} ({its})" if its and rule in several else rule for rule, its in zip(rules, own, strict=True)
    ]
    return list(zip(others, names, strict=True))


def _told(own: Mapping[str, str]) -> str:
    return ", ".join(f"{key.removeprefix('federation.')} {value}" for key, value in own.items())


def _text(value: Any) -> str:
    """Return a value as text; whole numbers beside missing ones are floats in a table."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_known(value: Any) -> bool:
    return value is not None and value == value  # NaN differs from itself
