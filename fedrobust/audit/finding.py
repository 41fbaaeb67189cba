"""The finding of a check."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fedrobust.audit.review import ADVICE, UNDECIDED
from fedrobust.runs.record import FindingRecord

SHOWN = "shown"
"""In the details of a check for collapse: the images show that the model does not solve its task."""


class Outcome(StrEnum):
    """The outcome of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    NOT_MADE = "not made"
    """It needs more than the audit's effort."""


def outcome_of(failed: object) -> Outcome:
    """Return `FAILED` if `failed` is true, else `PASSED`."""
    return Outcome.FAILED if failed else Outcome.PASSED


class Weight(StrEnum):
    """The consequence of a failed check for the verdict."""

    DEGENERATE = "degenerate"
    """The model cannot be told from a constant classifier: its robustness has no meaning."""
    NOT_ROBUST = "not robust"
    """Adversarial images were found."""
    NOT_PROVEN = "not proven"
    """The attacks are not reliable."""
    REPORT = "report"
    """No consequence for the verdict; the figure is reported."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: its name.
        outcome: passed, failed, or not applicable.
        weight: the consequence of a failure.
        figure: the measured value, as text with its counts.
        rule: the condition for passing.
        sentence: its meaning, for readers outside the field.
        source: the publication of the check.
        details: the numbers behind the figure.
    """

    check: str
    outcome: Outcome
    weight: Weight
    figure: str
    rule: str
    sentence: str
    source: str
    details: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.outcome is Outcome.FAILED

    @property
    def open(self) -> bool:
        """Whether it was not made, although it is applicable."""
        return self.outcome is Outcome.NOT_MADE

    def record(self) -> FindingRecord:
        """Return the card's entry, with the field's term for a failure and the next step."""
        undecided = UNDECIDED if self.weight is Weight.NOT_PROVEN else {}
        advice = undecided.get(self.check, ADVICE.get(self.check)) if self.failed else None
        return FindingRecord(
            check=self.check,
            outcome=str(self.outcome),
            weight=str(self.weight),
            figure=self.figure,
            rule=self.rule,
            sentence=self.sentence,
            source=self.source,
            details=self.details,
            called=advice.called if advice else None,
            next=advice.next if advice else None,
        )


def share(k: int, n: int) -> str:
    """Return a count as text.

    Example:
        >>> share(3, 156)
        '3 of 156 (1.9 %)'
    """
    return f"{k} of {n} ({100 * k / n:.1f} %)"
