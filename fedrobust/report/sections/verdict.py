"""The verdict at the top of the page: the audit's word, what it means, and the worst attack's figure."""

from dataclasses import dataclass

from fedrobust.report import findings
from fedrobust.report.folder import Run
from fedrobust.report.wording import interval, percent


@dataclass(frozen=True)
class Verdict:
    """The verdict.

    Attributes:
        word: of the audit, or "not audited".
        kind: the word as a class of the style sheet.
        sentence: its meaning.
        figure: accuracy under the worst attack, and without one; "" if neither was measured.
    """

    word: str
    kind: str
    sentence: str
    figure: str


def verdict(run: Run) -> Verdict:
    """Return the verdict on the global model."""
    card = run.record.audit
    if card is None:
        return Verdict("Not audited", "not-audited", _why_not(run), _figure(run))
    word = card.verdict.word
    return Verdict(word[:1].upper() + word[1:], word.replace(" ", "-"), card.verdict.sentence, _figure(run))


def _why_not(run: Run) -> str:
    if run.unfinished:
        return f"The run {findings.ended(run)} before its audit."
    if run.record.section("audit").get("enabled") is False:
        return (
            "The audit was switched off (audit.enabled): no accuracy under attack shows robustness by itself."
        )
    return "No audit was recorded: no accuracy under attack shows robustness by itself."


def _figure(run: Run) -> str:
    worst = findings.worst(run)
    if worst is None:
        return ""
    metrics, bounds = worst.metrics, interval("accuracy", worst.metrics.interval.accuracy)
    counted = f"{metrics.correct:,} of {metrics.n:,} images" + (f", {bounds}" if bounds else "")
    before = "" if worst.clean is None else f" Without an attack: {percent(worst.clean)}."
    return f"Under {worst.name}: {percent(metrics.accuracy)} right ({counted}).{before}"
