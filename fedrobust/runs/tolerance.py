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
    more, number = tolerance.get("probability-of-more"), tolerance.get("clients")
    clients = "malicious client" if number == 1 else "malicious clients"
    chance = " No round samples more."
    if more is None:
        chance = ""
    elif more > 0:
        chance = f" More are sampled in a round with a probability of {100 * more:.1f} %."
    return f"The rule is given {number} {clients} to tolerate, {by}.{chance}"
