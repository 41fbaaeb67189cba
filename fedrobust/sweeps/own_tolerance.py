"""Settings in which rules are ranked: what varies beside them, without an f that only some rules take."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedrobust.sweeps.controls import TOLERANCE


def without_own_tolerance(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each run's setting as text, by which runs of different rules are compared.

    Whether a run has an f is up to its rule: the mean takes none. Where all runs of a setting that have one have the
    same, it is left out. Where they differ it is kept: it was varied.

    Args:
        settings: of each run what varies beside rule and seed; None or NaN where a run has no value.

    Example:
        >>> without_own_tolerance([{"attack": "ipm"}, {"attack": "ipm", "federation.tolerate": 2}])
        ["{'attack': 'ipm'}", "{'attack': 'ipm'}"]
        >>> without_own_tolerance([{"federation.tolerate": 1}, {"federation.tolerate": 2}])
        ["{'federation.tolerate': '1'}", "{'federation.tolerate': '2'}"]
    """
    texts = [{key: str(value) for key, value in one.items() if _is_known(value)} for one in settings]
    others = [str({key: value for key, value in one.items() if key not in TOLERANCE}) for one in texts]
    given: dict[str, set[str]] = {}
    for one, other in zip(texts, others, strict=True):
        own = {key: one[key] for key in TOLERANCE if key in one}
        given.setdefault(other, set()).update({str(own)} if own else set())
    return [other if len(given[other]) < 2 else str(one) for one, other in zip(texts, others, strict=True)]


def _is_known(value: Any) -> bool:
    return value is not None and value == value  # NaN differs from itself
