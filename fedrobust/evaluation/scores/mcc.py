"""Matthews' correlation coefficient."""

from dataclasses import dataclass

import numpy as np

from fedrobust.evaluation.intervals import Floats, Integers
from fedrobust.evaluation.matthews import matthews
from fedrobust.evaluation.scores.contract import METRICS


@METRICS.register("mcc")
@dataclass(frozen=True, kw_only=True)
class MCC:
    """Correlation of predictions and labels, -1 to 1; 0 for a constant classifier (Gorodkin, 2004, R_K).

    Example:
        >>> MCC()(np.array([0, 1]), np.array([[2.0, 0.0], [0.0, 2.0]]))
        1.0
    """

    def __call__(self, labels: Integers, logits: Floats) -> float:
        """Return the coefficient."""
        classes = logits.shape[1]
        confusion = np.bincount(labels * classes + logits.argmax(axis=1), minlength=classes**2)
        return float(matthews(confusion.reshape(classes, classes)))
