"""Terminal output of audits and attacks on a model."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.runs.codec import read
from fedrobust.runs.record import AttackTableRecord, CardRecord, ClinicalRecord, FindingRecord
from fedrobust.terminal.figures import cells, constant
from fedrobust.terminal.screen import PLAIN, add_columns

MARKS = {
    "passed": "[green]passed[/]",
    "failed": "[red]failed[/]",
    "not applicable": "[dim]-     [/]",
    "not made": "[yellow]open  [/]",
}


def check_line(finding: FindingRecord) -> str:
    """Return one check of an audit as one line, in Rich's markup."""
    mark = MARKS.get(finding.outcome, escape(finding.outcome))
    return f"  {mark}  {escape(f'{finding.check}: {finding.figure}' if finding.figure else finding.check)}"


def verdict_line(card: CardRecord) -> str:
    """Return an audit's verdict as one line, in Rich's markup."""
    verdict, threat = card.verdict, card.threat
    colour = {"robust": "green", "not proven": "yellow"}.get(verdict.word, "red")
    because = f" ({', '.join(verdict.deciding)})" if verdict.deciding else ""
    within = escape(f"{threat.norm}, epsilon {threat.epsilon}")
    return f"[bold {colour}]{escape(verdict.word)}[/] at {within}: {escape(verdict.sentence + because)}"


def verdict_of(content: Mapping[str, Any]) -> str:
    """Return the verdict in the content of a ``card.json`` as one line, in Rich's markup."""
    return verdict_line(CardRecord.read(content))


def notes(result: Mapping[str, Any]) -> list[str]:
    """Return notes about the model of an audit or an attack, a line each, in Rich's markup."""
    return [f"  [dim]{escape(str(note))}[/]" for note in result.get("notes", ())]


def detector_lines(content: Mapping[str, Any]) -> list[str]:
    """Return what a detector costs and holds, from the content of a ``card.json``, in Rich's markup."""
    found = CardRecord.read(content).detector
    return [] if found is None else [f"  {escape(line)}" for line in found.sentences()]


def attack_table(content: Mapping[str, Any]) -> Table:
    """Return the accuracy of a model under attacks, the content of an ``attack.json``, as a table."""
    found = read(AttackTableRecord, content)
    clean = found.clean
    table = Table(
        title=escape(
            f"{found.model.name}: {found.data.n} images of {found.data.name}, {found.threat.norm}, {found.threat.space}"
        ),
        caption=f"Always predicting the most frequent class: {constant(clean)}. Missed: diseased images that are "
        "classified as healthy.",
        **PLAIN,
    )
    add_columns(table, "", "right", "acc.", "95 %", "bal.", "AUC", "missed")
    table.add_row("clean", *_left(clean))
    name = ""
    for row in found.attacked:
        if row.attack != name:
            table.add_section()
        name = row.attack
        table.add_row(escape(f"{name} {row.epsilon}"), *_left(row.metrics))
    return table


def _left(metrics: ClinicalRecord) -> tuple[str, ...]:
    missed = metrics.figures.get("disease missed")
    counts = missed.counts if missed else None
    return (*cells(metrics), f"{counts[0]}/{counts[1]}" if counts else "-")
