"""What became of a run, in words: how far it came, and whether its attack ran as asked."""

from fedrobust.reasons import first_reason
from fedrobust.runs.record import RunRecord


def rounds_of(run: RunRecord) -> tuple[int, int | None]:
    """Return how many rounds are done, and how many were asked for (None where that was not recorded)."""
    return sum(one.round > 0 for one in run.rounds), run.section("federation").get("rounds")


def cut_short(run: RunRecord) -> str:
    """Return what became of a run that is not finished, in a few words; "" for one that is.

    Example:
        >>> study = {"federation": {"rounds": 10}}
        >>> cut_short(RunRecord.read({"schema": 1, "status": "stopped", "rounds": [{"round": 1}], "experiment": study}))
        'stopped after round 1 of 10'
        >>> cut_short(RunRecord(status="finished"))
        ''
    """
    if run.status == "finished":
        return ""
    done, asked = rounds_of(run)
    of = "" if asked is None else f" of {asked}"
    words = {"running": "not finished (still running, or killed)"}.get(run.status, run.status)
    return f"{words} {f'after round {done}{of}' if done else 'before its first round was over'}"


def measured_after(run: RunRecord, number: int | None) -> str:
    """Return which model an unfinished run's figures are of, such as "after round 3 of 10"."""
    if number is None:
        return ""
    asked = rounds_of(run)[1]
    return f"after round {number}" + ("" if asked is None else f" of {asked}")


def invalid_rounds(run: RunRecord) -> list[tuple[int, str]]:
    """Return the rounds in which the attack failed by a fault of the study, each with the first reason."""
    found = []
    for one in run.rounds:
        if one.defence is None or one.defence.valid:
            continue
        failures = [(str(each.partition), each.reason) for each in one.defence.attack_failures]
        client, reason = failures[0] if failures else ("?", "")
        found.append((one.round, f"client {client}: {first_reason(reason)}"))
    return found


def invalid_line(run: RunRecord) -> str:
    """Return that the attack did not run as asked, and why; "" where it did.

    Example:
        >>> broken = {"valid": False, "attack-failures": [{"partition": 3, "reason": "ValueError: no class 7"}]}
        >>> rounds = [{"round": 1, "defence": broken}, {"round": 2, "defence": {"valid": True}}]
        >>> invalid_line(RunRecord.read({"schema": 1, "rounds": rounds}))
        'the attack failed in 1 of 2 rounds (client 3: ValueError: no class 7)'
    """
    rounds = invalid_rounds(run)
    if not rounds:
        return ""
    return f"the attack failed in {len(rounds)} of {rounds_of(run)[0]} rounds ({rounds[0][1]})"
