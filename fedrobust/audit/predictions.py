"""How a model's predictions are distributed: confusion matrix, ROC curves, calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fedrobust.evaluation.confusion import confusion_matrix
from fedrobust.evaluation.metrics import checked, log_odds, log_softmax
from fedrobust.evaluation.reliability import reliability
from fedrobust.evaluation.roc_curve import roc_curve
from fedrobust.runs.record.predictions import PredictionsRecord, ReliabilityBinRecord, RocRecord

DIGITS = 4
"""Of rates and confidences in a card: they are drawn, and not computed with."""


def predictions_record(
    labels: ArrayLike, logits: ArrayLike, disease: Sequence[int] = ()
) -> PredictionsRecord:
    """Return the confusion matrix, ROC curves and calibration of `logits`.

    Args:
        labels: (n,) true classes.
        logits: (n, C).
        disease: the labels that mean disease: of two classes, the curve is that of the diseased one.

    Raises:
        ValueError: the arrays do not fit; see `fedrobust.evaluation.metrics.checked`.

    Example:
        >>> found = predictions_record([0, 1, 1], [[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> found.confusion, found.roc[0].label, found.roc[0].points
        (((1, 0), (1, 1)), 1, ((0.0, 0.0), (0.0, 0.5), (1.0, 1.0)))
    """
    truth, outputs = checked(labels, logits)
    answers, odds = outputs.argmax(axis=1), log_odds(outputs)
    return PredictionsRecord(
        confusion=tuple(tuple(map(int, row)) for row in confusion_matrix(truth, answers, outputs.shape[1])),
        roc=tuple(
            RocRecord(
                label=label,
                points=tuple(
                    (round(float(false), DIGITS), round(float(true), DIGITS))
                    for false, true in roc_curve(truth == label, odds[:, label])
                ),
            )
            for label in _drawn(outputs.shape[1], disease)
            if 0 < np.count_nonzero(truth == label) < len(truth)
        ),
        reliability=tuple(
            ReliabilityBinRecord(n=one.n, correct=one.correct, confidence=round(one.confidence, DIGITS))
            for one in reliability(answers == truth, np.exp(log_softmax(outputs).max(axis=1)))
        ),
    )


def _drawn(classes: int, disease: Sequence[int]) -> Sequence[int]:
    """Return the classes that have a curve: of two, the curve of one is that of the other, turned."""
    if classes > 2:
        return range(classes)
    return disease if len(disease) == 1 else [1]
