"""The content of the page's sections, as plain data for the template, with numbers as text."""

from collections.abc import Mapping
from typing import Any

from fedrobust.report import card, constant, findings, toml, wording
from fedrobust.report.folder import Run
from fedrobust.report.sections.attacks import attacks
from fedrobust.report.sections.clients import clients
from fedrobust.report.sections.cost import cost
from fedrobust.report.sections.examples import examples
from fedrobust.report.sections.hospitals import hospitals
from fedrobust.report.sections.labels import labels
from fedrobust.report.sections.models import models
from fedrobust.report.sections.poisoning import poisoning
from fedrobust.report.sections.privacy import privacy
from fedrobust.report.sections.removal import removal
from fedrobust.report.sections.rounds import rounds
from fedrobust.report.sections.sites import sites
from fedrobust.report.sections.study import data, facts
from fedrobust.report.sections.tiles import tiles
from fedrobust.report.sections.verdict import verdict
from fedrobust.runs.outcome import invalid_line
from fedrobust.runs.tolerance import described_in


def sections(run: Run) -> dict[str, Any]:
    """Return the variables of the template; notes on missing parts are under ``missing``."""
    record = run.record
    content = {
        "name": record.name or "unnamed",
        "facts_line": facts(run),
        "verdict": verdict(run),
        "command": record.environment.get("command", ""),
        "summary": findings.summary(run),
        "unfinished": findings.unfinished(run),
        "error": record.error or "no reason was recorded",
        "go_on": findings.go_on(run),
        "sites": sites(run),
        "tolerance": described_in(record),
        "invalid": invalid_line(record),
        "warnings": constant.warnings(run),
        "alarms": findings.alarms(run),
        "cautions": findings.cautions(run),
        "remarks": run.record.remarks,
        "tiles": tiles(run),
        "rounds": rounds(run),
        "attacks": attacks(run),
        "examples": examples(run),
        "models": models(run),
        "poisoning": poisoning(run),
        "removal": removal(run),
        "privacy": privacy(run),
        "audit": card.section(record.audit),
        "student_audit": card.section(record.student.audit if record.student else None),
        "findings": labels(run),
        "hospitals": hospitals(run),
        "clients": clients(run),
        "study": toml.dumps(record.experiment),
        "data": data(run),
        "cost": cost(run),
        "environment": [(name, wording.plain(value)) for name, value in record.environment.items()],
    }
    return {**content, "contents": contents(content)}


TITLES = {
    "audit": "Is it robust?",
    "training": "Training",
    "robustness": "Robustness",
    "poisoning": "Poisoning and defence",
    "removal": "Removal of backdoors",
    "privacy": "Privacy",
    "student-audit": "Is the student robust?",
    "images": "Images under attack",
    "models": "Models compared",
    "findings": "Findings",
    "hospitals": "Hospitals",
    "clients": "Clients",
    "provenance": "Provenance",
}
"""Sections of the page, by id, in its order."""


def contents(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return id and title of the sections that the page has."""
    optional = {
        name: bool(content[name.replace("-", "_")])
        for name in ("audit", "poisoning", "removal", "privacy", "student-audit", "findings", "hospitals")
    }
    return [(id, title) for id, title in TITLES.items() if optional.get(id, True)]
