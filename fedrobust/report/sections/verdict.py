"""The verdict at the top of the page: the audit's word, what it means, and the worst attack's figure."""

from dataclasses import dataclass

from fedrobust.report import findings
from fedrobust.report.folder import Run
from fedrobust.report.wording import interval, percent

MEANINGS = {
    "robust": "No attack of this audit cost the model its lead over a constant classifier, and no check found the "
    "attacks unreliable. Stronger attacks, or larger changes of the images, may still break it.",
    "not robust": "Changes of the images within the threat model ({threat}) are enough to make the model err: it "
    "cannot be relied on where somebody can change its images.",
    "not proven": "The audit could not show that the model withstands changes of the images within the threat model "
    "({threat}): treat it as not robust until an audit shows otherwise.",
    "degenerate": "Without any attack the model cannot be told from a constant classifier{images}: its accuracy under "
    "attack has no meaning.",
}
"""What the words of an audit's verdict mean for those who use the model."""

UNSOLVED = "The model does not solve its task without any attack: its accuracy under attack has no meaning."
"""In place of "degenerate", where the images show it."""

UNFINISHED = {"failed": "Run failed", "stopped": "Run stopped"}
"""What stands in place of a verdict where a run ended before its audit."""


@dataclass(frozen=True)
class Verdict:
    """The verdict.

    Attributes:
        word: of the audit; without one, that there is none, or how the run ended.
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
        word = UNFINISHED.get(run.record.status, "Not finished") if run.unfinished else "Not audited"
        return Verdict(word, "not-audited", _why_not(run), _figure(run))
    word = card.verdict.word
    threat = f"{card.threat.norm}, epsilon {card.threat.epsilon}"
    images = f" on {card.clean.n} images" if card.clean and card.clean.n else ""
    # A card of another version may have another word; its own sentence explains it.
    meaning = (
        MEANINGS[word].format(threat=threat, images=images) if word in MEANINGS else card.verdict.sentence
    )
    if word == "degenerate" and any(
        one.details.get("shown") for one in card.checks if one.outcome == "failed"
    ):
        meaning = UNSOLVED
    return Verdict(word[:1].upper() + word[1:], word.replace(" ", "-"), meaning, _figure(run))


def _why_not(run: Run) -> str:
    if run.unfinished:
        return f"The run {findings.ended(run)} before its audit: {run.progress} are done."
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
    counted = f"{metrics.right} images" + (f", {bounds}" if bounds else "")
    before = "" if worst.clean is None else f" Without an attack: {percent(worst.clean)}."
    return f"Under {worst.name}: {percent(metrics.accuracy)} right ({counted}).{before}"
