"""The finding of a check."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fedrobust.audit.review import ADVICE
from fedrobust.runs.record import FindingRecord


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    NOT_MADE = "not made"
    """It takes more than the effort asked for allows."""


def outcome_of(failed: object) -> Outcome:
    """Return the outcome of a check that was made; `failed` is read as true or false."""
    return Outcome.FAILED if failed else Outcome.PASSED


class Weight(StrEnum):
    """What follows from a check that failed."""

    DEGENERATE = "degenerate"
    """The model does not solve its task: its robustness has no meaning."""
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
        weight: what follows if it failed.
        figure: what was measured, as text with its counts.
        rule: what would have passed.
        sentence: what it means, for readers outside of the field.
        source: where the check comes from.
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
        """Whether it was left out, though it could have been made."""
        return self.outcome is Outcome.NOT_MADE

    def record(self) -> FindingRecord:
        """Return the finding as a card holds it, with the field's term for a failure and the next step."""
        advice = ADVICE.get(self.check) if self.failed else None
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
