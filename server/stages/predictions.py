"""What a model answers on the clean test images."""

from fedrobust.audit.predictions import predictions_record
from fedrobust.models.layout import Weights
from fedrobust.runs.record.predictions import PredictionsRecord
from server.stages.evaluation import Evaluator


def predictions_of(evaluator: Evaluator, weights: Weights) -> PredictionsRecord | None:
    """Return confusion matrix, ROC curves and calibration; None where an image may have several findings.

    Args:
        evaluator: of the model's classifier.
        weights: of the model.
    """
    dataset = evaluator.dataset
    if dataset.multilabel:
        return None
    return predictions_record(dataset.test.labels, evaluator.answers(weights).test, dataset.disease)
