"""The accuracy under a short PGD, by which catastrophic overfitting of adversarial training is seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.callbacks.callback import FinishedRound
from server.stages.evaluation import Evaluator


@dataclass(frozen=True, eq=False)
class PGDProbe:
    """PGD-5 on some validation images.

    Attributes:
        evaluator: of the global model.
        epsilon: that clients train with; None where they do not train adversarially, or in another space.
    """

    evaluator: Evaluator
    epsilon: float | None

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `pgd_probe`, None where clients do not train adversarially."""
        if finished.measured is None:
            return {}
        probe = None if self.epsilon is None else self.evaluator.probe(finished.weights, self.epsilon)
        return {"pgd_probe": probe}
