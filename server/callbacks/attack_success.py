"""The attack success rate of the poisoning attack on the global model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.poisoning import SuccessCriterion
from server.callbacks.callback import FinishedRound
from server.stages.evaluation import Evaluator


@dataclass(frozen=True, eq=False)
class AttackSuccess:
    """The attack success rate.

    Attributes:
        evaluator: of the global model.
        criterion: the attack's success criterion; None for an untargeted attack.
    """

    evaluator: Evaluator
    criterion: SuccessCriterion | None

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `attack_success`, None for an untargeted attack."""
        if finished.measured is None:
            return {}
        return {
            "attack_success": None
            if self.criterion is None
            else self.evaluator.success(finished.weights, self.criterion)
        }
