"""The contract of callbacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fedrobust.models.layout import Weights
from fedrobust.runs.record import EvaluationRecord


@dataclass(frozen=True, eq=False)
class FinishedRound:
    """A round that is over.

    Attributes:
        number: from 1.
        weights: of the global model from now on; those of the round before where the round's model was not accepted.
        measured: the record of its evaluation, `clean` and `robust`; None in rounds that are not evaluated, or
            whose model answers with numbers that are not finite.
    """

    number: int
    weights: Weights
    measured: EvaluationRecord | None


class Callback(Protocol):
    """Called after every round, in the order in which a study lists its callbacks."""

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return the callback's fields of the round's record (see `RoundRecord`), none where it has nothing to say."""
        ...
