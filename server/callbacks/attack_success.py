"""The attack success rate of the poisoning attack on the global model."""

from collections.abc import Callable, Mapping
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
        learnt: returns the criterion of an attack that learns its trigger, as it is after the round; None for others.
    """

    evaluator: Evaluator
    criterion: SuccessCriterion | None
    learnt: Callable[[], SuccessCriterion | None] | None = None

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `attack_success`, None for an untargeted attack."""
        if finished.measured is None:
            return {}
        criterion = self.criterion if self.learnt is None else self.learnt()
        success = None if criterion is None else self.evaluator.success(finished.weights, criterion)
        return {"attack_success": success}
