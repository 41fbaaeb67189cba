"""The durability of a targeted attack: how many rounds it lasts after its end."""

from collections.abc import Sequence

from fedrobust.runs.record import DurabilityRecord, RoundRecord

LASTING = 0.5
"""Attack success rate from which an attack counts as lasting."""


def durability_of(rounds: Sequence[RoundRecord], last_round: int) -> DurabilityRecord | None:
    """Return how long the attack lasted after its end.

    Args:
        rounds: of a run, in order. Rounds in which the attack failed do not count.
        last_round: ``poisoning.last-round``, the round in which the attack ends; 0: never.

    Returns:
        None where the attack had no end before the last round, or its success was not measured after it.

    Example:
        >>> attacked = {"defence": {"attacked": True}}
        >>> rates = [(1, 0.9, attacked), (2, 0.7, {}), (3, 0.4, {}), (4, 0.1, {})]
        >>> rounds = [RoundRecord.read({"round": n, "attack-success": {"rate": r}, **more}) for n, r, more in rates]
        >>> lasted = durability_of(rounds, last_round=1)
        >>> lasted.success, lasted.rounds, lasted.observed
        (0.9, 2, 3)
    """
    attacked = [one for one in rounds if one.defence is not None and one.defence.attacked]
    if not last_round or not attacked:
        return None
    ended = attacked[-1].round
    later = [
        (one.round - ended, rate)
        for one in rounds
        if one.round > ended and (rate := rate_of(one)) is not None
    ]
    if not later:
        return None
    success = next((rate for one in reversed(attacked) if (rate := rate_of(one)) is not None), None)
    fallen = [after for after, rate in later if rate < LASTING]
    at_once = success is not None and success < LASTING
    return DurabilityRecord(
        ended=ended,
        success=success,
        rounds=0 if at_once else fallen[0] if fallen else None,
        observed=later[-1][0],
        last=later[-1][1],
    )


def rate_of(one: RoundRecord) -> float | None:
    """Return the attack success rate of a round, None where it was not measured or the attack failed."""
    return one.attack_success.rate if one.attack_success and one.valid else None


def described(durability: DurabilityRecord | None) -> str:
    """Return the durability as text, "" for None.

    Example:
        >>> described(DurabilityRecord(ended=6, success=0.92, rounds=3, observed=10, last=0.2))
        'The attack ended after round 6 with a success of 92 %; 3 rounds later it was below 50 %.'
        >>> described(DurabilityRecord(ended=6, success=0.92, observed=10, last=0.61))
        'The attack ended after round 6 with a success of 92 %; 10 rounds later it was still 61 %.'
        >>> described(DurabilityRecord(ended=6, success=0.3, rounds=0, observed=10, last=0.1))
        'The attack ended after round 6 with a success of 30 %, below 50 %.'
    """
    if durability is None:
        return ""
    reached = (
        ""
        if durability.success is None
        else f" with a success of {durability.success:.0%}".replace("%", " %")
    )
    ended = f"The attack ended after round {durability.ended}{reached}"
    if durability.rounds == 0:
        return f"{ended}, below 50 %."
    count = durability.at_least
    later = f"{count} round{'' if count == 1 else 's'} later"
    if durability.rounds is not None:
        return f"{ended}; {later} it was below 50 %."
    return f"{ended}; {later} it was still {durability.last:.0%}.".replace("%.", " %.")
