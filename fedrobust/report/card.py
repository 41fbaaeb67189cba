"""The page of an audit's card, alone or as a section of a run's page."""

import json
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic
from fedrobust.report import html
from fedrobust.report.card_detector import detector_part
from fedrobust.report.check_families import check_families, urgency
from fedrobust.report.errors import ReportError
from fedrobust.report.predictions import predictions
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent
from fedrobust.runs.record import CardRecord, ClinicalRecord, FigureRecord, FindingRecord, Interval

MARKS = {
    "passed": "✓ passed",
    "failed": "✗ failed",
    "not applicable": "– not applicable",
    "not made": "– not made",
}


def write(folder: Path) -> Path:
    """Write ``card.html`` from the ``card.json`` in a folder, and return its path.

    Raises:
        ReportError: there is no card, or one of another schema.
    """
    path = folder / "card.json"
    try:
        card = CardRecord.read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # among them, RecordError
        raise ReportError(f"{path}: {error}") from error
    target = folder / "card.html"
    with atomic(target) as draft:
        draft.write_text(render(card), encoding="utf-8", errors="replace", newline="\n")
    return target


def render(card: CardRecord) -> str:
    """Return the page of a card, as text."""
    return html.page("card.html.j2", audit=section(card))


def section(card: CardRecord | None) -> dict[str, Any]:
    """Return the section's content; empty without an audit."""
    if card is None:
        return {}
    threat, data, settings = card.threat, card.data, card.settings
    extras = [f"{threat.bits}-bit images" if threat.bits else "", "tied channels" if threat.tied else ""]
    grey = "" if threat.epsilon_value is None else f" ({threat.epsilon_value * 255:.2f} grey levels)"
    return {
        "name": card.model.name,
        "word": card.verdict.word,
        "sentence": card.verdict.sentence,
        "deciding": list(card.verdict.deciding),
        "notes": list(card.notes),
        "families": [
            {
                "question": family.question,
                "outcome": family.outcome,
                "mark": MARKS.get(family.outcome, family.outcome)[0],
                "counted": family.counted,
                "checks": [_check(one) for one in family.checks],
            }
            for family in check_families(card.checks)
        ],
        "checks": [
            _check(one)
            for one in sorted(card.checks, key=urgency)
            if one.outcome not in ("passed", "not applicable")
        ],
        "total": len(card.checks),
        "failed": card.count("failed"),
        "open": card.count("not made"),
        "passed": card.count("passed"),
        "figures": _figures(card),
        "detector": detector_part(card),
        "classes": _classes(card),
        "predictions": predictions(card.data.labels, card.predictions),
        "curve": _curve(card),
        "attacks": _attacks(card),
        "evidence": _evidence(card),
        "facts": [
            ("Threat", ", ".join(filter(None, [threat.norm, threat.space, *extras]))),
            ("Epsilon", f"{threat.epsilon}{grey if threat.norm == 'linf' else ''}"),
            ("Images", f"{data.n} of {data.name}, {data.split} split"),
            ("Effort", f"{settings.effort}: {settings.steps} steps, {settings.queries} queries"),
            ("Seed", str(settings.seed)),
            ("Model", f"SHA-256 {card.model.digest[:16]}"),
            ("Data", f"SHA-256 {data.digest[:16]}"),
        ],
        "privacy": list(card.privacy.statement) if card.privacy else [],
        "environment": ", ".join(
            f"{name} {card.environment[name]}"
            for name in ("fedrobust", "tensorflow", "keras", "numpy", "python")
            if name in card.environment
        ),
    }


def _check(check: FindingRecord) -> dict[str, Any]:
    """Return a check as the page shows it."""
    return {
        **vars(check),
        "called": check.called or "",
        "next": check.next or "",
        "mark": MARKS.get(check.outcome, check.outcome),
    }


SCORES = {
    "accuracy": ("Accuracy", "Wilson"),
    "balanced_accuracy": ("Balanced accuracy", "MOVER"),
    "auc": ("AUC", "DeLong"),
}
"""Names of scores and of the methods of their intervals."""

NO_SHARES = ("auc", "mcc", "calibration error")


def _score(metrics: ClinicalRecord | None, name: str) -> FigureRecord:
    """Return one score as a figure."""
    if metrics is None:
        return FigureRecord()
    counts = (metrics.correct, metrics.n) if name == "accuracy" else None
    return FigureRecord(
        value=metrics.score(name),
        interval=metrics.limits(name),
        constant=metrics.constant(name),
        method=SCORES[name][1],
        counts=counts,
        too_few=metrics.too_few.get(name),
    )


def _shown(figure: FigureRecord, share: bool = True) -> Cell:
    if figure.value is None:
        return Cell(NONE)
    text = percent(figure.value) if share else f"{figure.value:.3f}"
    counts = f"{figure.counts[0]}/{figure.counts[1]}" if figure.counts else ""
    few = f"too few: {figure.too_few}" if figure.too_few else ""
    return Cell(text, " · ".join(filter(None, (counts, _limits(figure.interval, share), few))))


def _limits(interval: Interval | None, share: bool) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f"{percent(low)}–{percent(high)}" if share else f"{low:.2f} to {high:.2f}"


def _figures(card: CardRecord) -> Table:
    head = (
        Cell("Clean", "statistical"),
        Cell("Worst case of all attacks", "empirical"),
        Cell("Constant", "most frequent class"),
    )
    rows = []
    named = {name: (_score(card.clean, name), _score(card.attacked, name)) for name in SCORES}
    attacked = card.attacked.figures if card.attacked else {}
    if card.clean:
        named |= {
            name: (figure, attacked.get(name, FigureRecord())) for name, figure in card.clean.figures.items()
        }
    for name, (clean, worst) in named.items():
        share = name not in NO_SHARES
        constant = clean.constant
        always = NONE if constant is None else percent(constant) if share else f"{constant:.3f}"
        shown = SCORES[name][0] if name in SCORES else name.upper() if name == "mcc" else name.capitalize()
        rows.append((Cell(shown, clean.method), (_shown(clean, share), _shown(worst, share), Cell(always))))
    if card.standing:
        stand = FigureRecord(
            value=card.standing.accuracy,
            interval=card.standing.interval.accuracy,
            counts=(card.standing.correct, card.standing.n),
        )
        constant_cell = Cell(percent(card.standing.majority_rate))
        rows.append((Cell("Right after every attack", "Wilson"), (Cell(NONE), _shown(stand), constant_cell)))
    return Table("Figure", head, rows)


def _classes(card: CardRecord) -> Table:
    head = (Cell("Images"), Cell("Right, clean", "statistical"), Cell("Right, worst case", "empirical"))
    rows = [
        (
            Cell(one.name, "disease" if one.disease else ""),
            (Cell(str(one.n)), _part(one.right, one.n), _part(one.standing, one.n)),
        )
        for one in card.classes
    ]
    return Table("Class", head, rows)


def _part(right: int, n: int) -> Cell:
    return Cell(percent(right / n), f"{right}/{n}")


def _curve(card: CardRecord) -> Table | None:
    if not card.robust:
        return None
    epsilons = list(dict.fromkeys(epsilon for curve in card.robust.values() for epsilon in curve))
    rows = [
        (
            Cell(epsilon),
            tuple(
                Cell(
                    percent(curve[epsilon].accuracy),
                    _limits(curve[epsilon].interval.accuracy, share=True),
                )
                if epsilon in curve
                else Cell(NONE)
                for curve in card.robust.values()
            ),
        )
        for epsilon in epsilons
    ]
    return Table("Epsilon", tuple(Cell(attack.upper(), "empirical") for attack in card.robust), rows)


def _attacks(card: CardRecord) -> Table:
    head = (
        Cell("Images", "attacked"),
        Cell("Broken", "at its epsilons"),
        Cell("Queries", "an image"),
        Cell("Seconds"),
    )
    rows = []
    for one in card.attacks:
        epsilons = ", ".join(f"{epsilon:.3g}" for epsilon in one.epsilons)
        searched = epsilons if len(one.epsilons) < 4 else f"{len(one.epsilons)} epsilons"
        cells = (str(one.n), ", ".join(map(str, one.broken)), f"{one.queries:.1f}", f"{one.seconds:.1f}")
        rows.append((Cell(one.name, searched), tuple(map(Cell, cells))))
    return Table("Attack", head, rows)


def _evidence(card: CardRecord) -> Table | None:
    """Return the table of terms; None for cards of versions that have none."""
    head = (Cell("Method"), Cell("NIST AI 100-2e2025"), Cell("MITRE ATLAS"), Cell("AI Act, Article 15"))
    rows = [
        (
            Cell(one.about[:1].upper() + one.about[1:]),
            (
                Cell(one.method),
                *(Cell(", ".join(terms) or NONE) for terms in (one.nist, one.atlas, one.ai_act)),
            ),
        )
        for one in card.evidence
    ]
    return Table("Evidence", head, rows) if rows else None
