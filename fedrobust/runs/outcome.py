"""The outcome of a run as text: its finished rounds, and failures of its attack."""

from fedrobust.reasons import first_reason
from fedrobust.runs.record import RunRecord


def rounds_of(run: RunRecord) -> tuple[int, int | None]:
    """Return (number of finished rounds, number of set rounds); the latter is None if it was not recorded."""
    return sum(one.round > 0 for one in run.rounds), run.section("federation").get("rounds")


def cut_short(run: RunRecord) -> str:
    """Return the status of an unfinished run as text; "" for a finished one.

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
    """Return the model of an unfinished run's metrics as text, such as "after round 3 of 10"."""
    if number is None:
        return ""
    asked = rounds_of(run)[1]
    return f"after round {number}" + ("" if asked is None else f" of {asked}")


def invalid_rounds(run: RunRecord) -> list[tuple[int, str]]:
    """Return the rounds in which the attack failed because of a wrong setting, each with the first reason."""
    found = []
    for one in run.rounds:
        if one.defence is None or one.defence.valid:
            continue
        failures = [(str(each.partition), each.reason) for each in one.defence.attack_failures]
        client, reason = failures[0] if failures else ("?", "")
        found.append((one.round, f"client {client}: {first_reason(reason)}"))
    return found


def invalid_line(run: RunRecord) -> str:
    """Return in how many rounds the attack failed, and why; "" if it did not.

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
