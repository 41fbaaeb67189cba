"""The section of a run's page on malicious clients and the server's defence."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedrobust.reasons import first_reason
from fedrobust.report import wording
from fedrobust.report.folder import Run
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent
from fedrobust.runs.tolerance import told_in

MOST_CLIENTS = 60
"""Clients whose fate is shown one by one."""


def poisoning(run: Run) -> dict[str, Any]:
    """Return what the section says; an empty dictionary where nobody attacked and no rule chose among clients."""
    entries = [entry for entry in run.result.get("rounds") or () if entry.get("defence")]
    if not entries:
        return {}
    study = run.part("experiment")
    settings, federation = study.get("poisoning") or {}, study.get("federation") or {}
    rule = [*federation.get("pre-aggregators", []), str(federation.get("aggregator", "mean"))]
    attack = str(settings.get("attack", "none"))
    malicious = sorted({client for entry in entries for client in entry["defence"].get("malicious") or ()})
    many = f"{len(malicious)} malicious {'client' if len(malicious) == 1 else 'clients'}"
    attackers = "Nobody attacks." if attack == "none" else f"{many}: {attack}."
    attackers += _how_often(entries, attack)
    return {
        "sentence": f"{attackers} The server's defence: {' → '.join(rule)}.",
        "tolerance": told_in(run.result),
        "failures": [
            f"{reason} ({wording.count(len(rounds), 'time')}, first in round {rounds[0]})"
            for reason, rounds in _attack_failures(entries).items()
        ],
        "table": Table(
            "Round",
            HEAD,
            [(Cell(str(entry["round"]), _state(entry, attack)), _row(entry)) for entry in entries],
        ),
        "fates": _fates(entries, malicious),
        "kept": [str(entry["kept"]) for entry in run.result.get("rounds") or () if entry.get("kept")],
    }


HEAD = (
    Cell("Accepted"),
    Cell("Malicious left out", "true positives"),
    Cell("Honest left out", "false positives"),
    Cell("Attackers' weight"),
    Cell("Distance to the honest mean", "its length is 1"),
    Cell("Attack success", "without trigger"),
    Cell("Rule"),
)


def _attack_failures(entries: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return why malicious clients failed by a fault of the study, each reason once with its rounds."""
    found: dict[str, list[int]] = {}
    for entry in entries:
        for failure in entry["defence"].get("attack-failures") or ():
            reason = f"client {failure.get('partition')}: {first_reason(str(failure.get('reason')))}"
            found.setdefault(reason, []).append(entry["round"])
    return found


def _how_often(entries: Sequence[Mapping[str, Any]], attack: str) -> str:
    """Say in how many rounds nobody attacked, if there are such rounds."""
    calm = sum(not entry["defence"].get("attacked") for entry in entries)
    if attack == "none" or not calm:
        return ""
    rounds = wording.count(len(entries), "round")
    return f" In {calm} of {rounds} nobody attacked: of them no detection figure is given."


def _state(entry: Mapping[str, Any], attack: str) -> str:
    """Return what a reader has to know of a round before its figures."""
    defence = entry["defence"]
    if not defence.get("valid", True):
        return "attack failed"
    if attack == "none" or defence.get("attacked"):
        return ""
    return "no attack" if defence.get("malicious") else "no attacker sampled"


def _row(entry: Mapping[str, Any]) -> Sequence[Cell]:
    defence, success = entry["defence"], entry.get("attack-success") or {}
    # Of a round that nobody attacked, or whose attack failed, no rate of detection can be given: old runs say 0.
    attacked = bool(defence.get("attacked")) and defence.get("valid", True)
    success = success if defence.get("valid", True) else {}
    accepted = defence.get("accepted")
    distance, length = defence.get("distance"), defence.get("honest-norm")
    rare = defence.get("rare-false-positive-rate")
    interval = success.get("interval")
    reached = Cell(NONE)
    if success:
        between = f"{percent(interval[0])}–{percent(interval[1])}" if interval else ""
        plain = success.get("without-trigger")
        without = f"without {percent(plain)}" if plain is not None else ""
        reached = Cell(percent(success.get("rate")), " · ".join(filter(None, (between, without))))
    return (
        Cell(NONE, "no choice") if accepted is None else Cell(str(len(accepted))),
        _rate(defence.get("true-positive-rate") if attacked else None),
        Cell(
            _rate(defence.get("false-positive-rate")).text,
            "" if rare is None else f"of unusual {percent(rare)}",
        ),
        _rate(defence.get("malicious-influence")),
        Cell(f"{distance / length:.2f}" if distance is not None and length else NONE),
        reached,
        Cell(NONE if defence.get("seconds") is None else f"{defence['seconds']:.2f} s"),
    )


def _rate(value: float | None) -> Cell:
    return Cell(NONE if value is None else percent(value))


def _fates(entries: Sequence[Mapping[str, Any]], malicious: Sequence[int]) -> dict[str, Any]:
    """Return who was accepted in which round: rows of (client, is malicious, one mark a round)."""
    chosen = [entry for entry in entries if entry["defence"].get("accepted") is not None]
    clients = sorted(
        {client for entry in chosen for client in entry["defence"]["accepted"]}
        | {client for entry in chosen for client in entry["defence"].get("malicious") or ()}
        | {client for entry in chosen for client in entry["defence"].get("partitions") or ()}
        | {
            failure["partition"]
            for entry in chosen
            for failure in (entry.get("clients") or {}).get("failures") or ()
        }
    )
    if not chosen or len(clients) > MOST_CLIENTS:
        return {}
    rows = [
        (
            str(client),
            client in malicious,
            [_fate(client, entry) for entry in chosen],
        )
        for client in clients
    ]
    return {"rounds": [str(entry["round"]) for entry in chosen], "rows": rows}


def _fate(client: int, entry: Mapping[str, Any]) -> str:
    """Return the mark of a client in a round: accepted, left out, or nothing where it did not take part.

    Runs that did not record who took part have "left out" for both of the latter.
    """
    defence = entry["defence"]
    if client in defence["accepted"]:
        return "●"
    heard = defence.get("partitions")
    failed = {failure["partition"] for failure in (entry.get("clients") or {}).get("failures") or ()}
    return "–" if heard is None or client in heard or client in failed else ""
