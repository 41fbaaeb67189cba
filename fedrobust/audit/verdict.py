"""From findings to one word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedrobust.audit.finding import Finding, Weight

ORDER = (Weight.DEGENERATE, Weight.NOT_ROBUST, Weight.NOT_PROVEN)
"""A model that does nothing is not called broken, and one that was broken is not called unproven."""

SENTENCES = {
    "degenerate": "The model does not do its task, so that there is nothing to be robust about.",
    "not robust": "Within the threat there are images that break the model.",
    "not proven": "No attack broke the model enough, but the attacks cannot be trusted to have tried hard enough.",
    "robust": "Within the threat, and against every attack made here, the model keeps what it knows.",
}


@dataclass(frozen=True)
class Verdict:
    """The outcome of an audit.

    Attributes:
        word: "robust", "not robust", "not proven" or "degenerate".
        sentence: what it means.
        deciding: the checks that decided it: the failed ones, or none for "robust".
    """

    word: str
    sentence: str
    deciding: tuple[str, ...]

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> "Verdict":
        """Return the verdict that follows from `findings`: the gravest of what failed."""
        for weight in ORDER:
            failed = tuple(one.check for one in findings if one.failed and one.weight is weight)
            if failed:
                return cls(str(weight), SENTENCES[str(weight)], failed)
        return cls("robust", SENTENCES["robust"], ())

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain data."""
        return {"word": self.word, "sentence": self.sentence, "deciding": list(self.deciding)}
