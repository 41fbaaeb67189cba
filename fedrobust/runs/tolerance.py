"""What a defence was told of its attackers, in words."""

from collections.abc import Mapping
from typing import Any


def told(tolerance: Mapping[str, Any] | None) -> str:
    """Say how many attackers a rule was told to tolerate, by whom, and how often there are more.

    Args:
        tolerance: that of ``result.json``.

    Returns:
        "" for runs that did not record it, and for rules that do not ask.

    Example:
        >>> told({"clients": 2, "source": "given", "told": True, "malicious": 2, "probability-of-more": 0.0})
        'The rule is given 2 malicious clients to tolerate, by the study. No round samples more.'
        >>> told({"clients": 1, "source": "truth", "told": True, "malicious": 2, "probability-of-more": 0.26})[-62:]
        'has. More are sampled in a round with a probability of 26.0 %.'
    """
    if not tolerance or not tolerance.get("told", True) or not tolerance.get("malicious"):
        return ""
    by = (
        "the true number: an oracle, which no real server has"
        if tolerance.get("source") == "truth"
        else "by the study"
    )
    if tolerance.get("source") == "truth" and tolerance.get("quantile") is not None:
        quantile = 100 * tolerance["quantile"]
        by = f"the {quantile:g} % quantile of the true number in a round: an oracle, which no real server has"
    more, number = tolerance.get("probability-of-more"), tolerance.get("clients")
    clients = "malicious client" if number == 1 else "malicious clients"
    chance = " No round samples more."
    if more is None:
        chance = ""
    elif more > 0:
        chance = f" More are sampled in a round with a probability of {100 * more:.1f} %."
    return f"The rule is given {number} {clients} to tolerate, {by}.{chance}"


def told_in(result: Mapping[str, Any]) -> str:
    """Say what the defence of a run was told; of runs of before this was recorded, as much as their study says.

    Args:
        result: the content of ``result.json``.

    Example:
        >>> told_in({"experiment": {"federation": {}}, "rounds": [{"defence": {"tolerated": 3}}]})
        'The rule is given 3 malicious clients to tolerate, the true number: an oracle, which no real server has. How \
often a round samples more was not recorded.'
    """
    if result.get("tolerance") is not None:
        return told(result["tolerance"])
    numbers = [(entry.get("defence") or {}).get("tolerated") for entry in result.get("rounds") or ()]
    known = [number for number in numbers if number is not None]
    if not known:
        return ""
    source = "truth" if is_oracle(result) else "given"
    words = told({"clients": known[0], "source": source, "told": True, "malicious": known[0]})
    return f"{words} How often a round samples more was not recorded." if words else ""


def is_oracle(result: Mapping[str, Any]) -> bool:
    """Return whether the defence of a run was told the true number of attackers."""
    tolerance = result.get("tolerance")
    if tolerance is not None:
        return bool(tolerance.get("told", True) and tolerance.get("source") == "truth")
    federation = (result.get("experiment") or {}).get("federation") or {}
    told_f = any((entry.get("defence") or {}).get("tolerated") for entry in result.get("rounds") or ())
    return told_f and federation.get("tolerate") is None
