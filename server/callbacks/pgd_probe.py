"""The accuracy under a short PGD, which reveals catastrophic overfitting of adversarial training."""

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
        epsilon: of the clients' adversarial training; None without it, or if it is in another space.
    """

    evaluator: Evaluator
    epsilon: float | None

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `pgd_probe` and `pgd_probe_balanced`, None without adversarial training."""
        if finished.measured is None:
            return {}
        probe = None if self.epsilon is None else self.evaluator.probe(finished.weights, self.epsilon)
        accuracy, balanced = probe or (None, None)
        return {"pgd_probe": accuracy, "pgd_probe_balanced": balanced}
