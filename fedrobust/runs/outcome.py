"""What became of a run, in words: how far it came, and whether its attack ran as asked."""

from collections.abc import Mapping
from typing import Any

from fedrobust.reasons import first_reason


def rounds_of(result: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return how many rounds are done, and how many were asked for (None where that was not recorded)."""
    done = sum(1 for entry in result.get("rounds") or () if entry.get("round"))
    asked = (result.get("experiment") or {}).get("federation", {}).get("rounds")
    return done, asked


def cut_short(result: Mapping[str, Any]) -> str:
    """Return what became of a run that is not finished, in a few words; "" for one that is.

    Example:
        >>> cut_short({"status": "stopped", "rounds": [{"round": 1}], "experiment": {"federation": {"rounds": 10}}})
        'stopped after round 1 of 10'
        >>> cut_short({"status": "finished"})
        ''
    """
    status = str(result.get("status") or "unknown")
    if status == "finished":
        return ""
    done, asked = rounds_of(result)
    of = "" if asked is None else f" of {asked}"
    words = {"running": "not finished (still running, or killed)"}.get(status, status)
    return f"{words} {f'after round {done}{of}' if done else 'before its first round was over'}"


def measured_after(result: Mapping[str, Any], number: int | None) -> str:
    """Return which model an unfinished run's figures are of, such as "after round 3 of 10"."""
    if number is None:
        return ""
    asked = rounds_of(result)[1]
    return f"after round {number}" + ("" if asked is None else f" of {asked}")


def invalid_rounds(result: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return the rounds in which the attack failed by a fault of the study, each with the first reason."""
    found = []
    for entry in result.get("rounds") or ():
        defence = entry.get("defence") or {}
        if defence.get("valid", True):
            continue
        failures = defence.get("attack-failures") or [{"partition": "?", "reason": ""}]
        first = failures[0]
        found.append(
            (int(entry["round"]), f"client {first['partition']}: {first_reason(str(first['reason']))}")
        )
    return found


def invalid_line(result: Mapping[str, Any]) -> str:
    """Return that the attack did not run as asked, and why; "" where it did.

    Example:
        >>> broken = {"valid": False, "attack-failures": [{"partition": 3, "reason": "ValueError: no class 7"}]}
        >>> invalid_line({"rounds": [{"round": 1, "defence": broken}, {"round": 2, "defence": {"valid": True}}]})
        'the attack failed in 1 of 2 rounds (client 3: ValueError: no class 7)'
    """
    rounds = invalid_rounds(result)
    if not rounds:
        return ""
    return f"the attack failed in {len(rounds)} of {rounds_of(result)[0]} rounds ({rounds[0][1]})"
