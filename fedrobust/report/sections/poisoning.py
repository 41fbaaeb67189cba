"""The section on malicious clients and the server's defence."""

from collections.abc import Sequence
from typing import Any

from fedrobust.reasons import first_reason
from fedrobust.report import thinning, wording
from fedrobust.report.folder import Run
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent
from fedrobust.runs import durability
from fedrobust.runs.record import AttackSuccessRecord, DefenceRecord, RoundRecord
from fedrobust.runs.tolerance import described_in

MOST_CLIENTS = 60
"""Largest number of clients that are shown individually."""

Defended = Sequence[tuple[RoundRecord, DefenceRecord]]


def poisoning(run: Run) -> dict[str, Any]:
    """Return the section's content; empty without an attack and without a rule that selects clients."""
    defended = [(one, one.defence) for one in run.record.rounds if one.defence]
    if not defended:
        return {}
    federation = run.record.section("federation")
    rule = [*federation.get("pre-aggregators", []), str(federation.get("aggregator", "mean"))]
    attack = str(run.record.section("poisoning").get("attack", "none"))
    malicious = sorted({client for _, defence in defended for client in defence.malicious})
    tolerance = run.record.tolerance
    attackers = _attackers(attack, tolerance.malicious if tolerance else 0, len(malicious))
    attackers += _how_often(defended, attack)
    # Imported here, so that writing a card does not import Plotly.
    from fedrobust.report import plots

    points = thinning.extremes(defended, [share for *_, share in plots.LINES])
    rows = thinning.spread(defended)
    figure = plots.by_defence(points)
    notes = [
        thinning.note(
            points, defended, "The plot", "in each stretch those with the lowest and the highest shares"
        )
        if figure
        else "",
        thinning.note(rows, defended, "The table", "in equal distances"),
    ]
    kept = [one.kept for one in run.record.rounds if one.kept]
    return {
        "figure": plots.rounded(figure.to_plotly_json()) if figure else None,
        "sentence": f"{attackers} The server's defence: {' → '.join(rule)}.",
        "tolerance": described_in(run.record),
        "durability": durability.described(run.record.durability),
        "failures": [
            f"{reason} ({wording.count(len(rounds), 'time')}, first in round {rounds[0]})"
            for reason, rounds in _attack_failures(defended).items()
        ],
        "table": Table(
            "Round",
            HEAD,
            [
                (Cell(str(one.round), _state(defence, attack)), _row(defence, one.attack_success))
                for one, defence in rows
            ],
        ),
        "notes": [one for one in notes if one],
        "fates": _fates(defended, malicious),
        "kept": thinning.spread(kept),
        "kept_note": thinning.note(thinning.spread(kept), kept, "The list", "in equal distances"),
    }


HEAD = (
    Cell("Accepted"),
    Cell("Malicious rejected", "true positives"),
    Cell("Honest rejected", "false positives"),
    Cell("Attackers' weight"),
    Cell("Distance", "to the honest mean, in its lengths"),
    Cell("Attack success", "without trigger"),
    Cell("Rule"),
)


def _attackers(attack: str, known: int, sampled: int) -> str:
    """Return the attack and the number of its clients: all that the study has, and how many rounds have sampled."""
    if attack == "none":
        return "No attack."
    many = wording.count(max(known, sampled), "malicious client")
    return f"{many}{f', {sampled} of them sampled' if sampled < known else ''}: {attack}."


def _attack_failures(defended: Defended) -> dict[str, list[int]]:
    """Return reason -> rounds of attacks that failed because of a wrong setting."""
    found: dict[str, list[int]] = {}
    for one, defence in defended:
        for failure in defence.attack_failures:
            reason = f"client {failure.partition}: {first_reason(failure.reason)}"
            found.setdefault(reason, []).append(one.round)
    return found


def _how_often(defended: Defended, attack: str) -> str:
    """Return the number of rounds without an attack as text, "" if there are none."""
    calm = sum(not defence.attacked for _, defence in defended)
    if attack == "none" or not calm:
        return ""
    rounds = wording.count(len(defended), "round")
    return f" {calm} of {rounds} had no attack: they have no detection rates."


def _state(defence: DefenceRecord, attack: str) -> str:
    """Return the note on a round."""
    if not defence.valid:
        return "attack failed"
    if attack == "none" or defence.attacked:
        return ""
    return "no attack" if defence.malicious else "no attacker sampled"


def _row(defence: DefenceRecord, success: AttackSuccessRecord | None) -> Sequence[Cell]:
    # A round without an attack, or with a failed one, has no detection rate; older runs have 0.
    attacked = defence.attacked and defence.valid
    distance, length = defence.distance, defence.honest_norm
    rare = defence.rare_false_positive_rate
    return (
        Cell(NONE, "no choice") if defence.accepted is None else Cell(str(len(defence.accepted))),
        Cell(percent(defence.true_positive_rate if attacked else None)),
        Cell(percent(defence.false_positive_rate), "" if rare is None else f"of unusual {percent(rare)}"),
        Cell(percent(defence.malicious_influence)),
        Cell(f"{distance / length:.2f}" if distance is not None and length else NONE),
        _reached(success if defence.valid else None),
        Cell(NONE if defence.seconds is None else f"{defence.seconds:.2f} s"),
    )


def _reached(success: AttackSuccessRecord | None) -> Cell:
    if success is None:
        return Cell(NONE)
    low, high = success.interval or (None, None)
    between = "" if low is None else f"{percent(low)}–{percent(high)}"
    without = "" if success.without_trigger is None else f"without {percent(success.without_trigger)}"
    return Cell(percent(success.rate), " · ".join(filter(None, (between, without))))


def _fates(defended: Defended, malicious: Sequence[int]) -> dict[str, Any]:
    """Return the accepted clients by round: rows of (client, is malicious, one mark per round)."""
    chosen = [(one, defence) for one, defence in defended if defence.accepted is not None]
    clients = sorted(
        {
            client
            for one, defence in chosen
            for some in (defence.accepted or (), defence.malicious, defence.partitions or (), _failed(one))
            for client in some
        }
    )
    if not chosen or len(clients) > MOST_CLIENTS:
        return {}
    shown = thinning.spread(chosen, thinning.MOST_COLUMNS)
    rows = [
        (str(client), client in malicious, [_fate(client, one, defence) for one, defence in shown])
        for client in clients
    ]
    return {
        "rounds": [str(one.round) for one, _ in shown],
        "rows": rows,
        "note": thinning.note(shown, chosen, "The table", "in equal distances"),
    }


def _failed(one: RoundRecord) -> set[int]:
    return {failure.partition for failure in one.clients.failures}


def _fate(client: int, one: RoundRecord, defence: DefenceRecord) -> str:
    """Return the mark of a client in a round: accepted, rejected, or none if it was not sampled.

    Runs without a record of sampled clients have "rejected" for both of the latter.
    """
    if client in (defence.accepted or ()):
        return "●"
    heard = defence.partitions
    return "–" if heard is None or client in heard or client in _failed(one) else ""
