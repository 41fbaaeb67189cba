"""The contract of callbacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fedrobust.models.layout import Weights
from fedrobust.runs.record import EvaluationRecord


@dataclass(frozen=True, eq=False)
class FinishedRound:
    """A finished round.

    Attributes:
        number: from 1.
        weights: the global weights after the round; those before it if the round was rejected.
        measured: the record of its evaluation, `clean` and `robust`; None in rounds that are not evaluated, or whose
            model's logits are not finite.
    """

    number: int
    weights: Weights
    measured: EvaluationRecord | None


class Callback(Protocol):
    """A function that is called after every round."""

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return the callback's fields of the round's record (see `RoundRecord`); empty if there are none."""
        ...
