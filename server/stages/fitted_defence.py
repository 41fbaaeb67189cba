"""The fit of a learned prediction-time defence to a model and the validation images."""

from typing import Any

import numpy as np

from fedrobust.defences.contract import LearnedDefence
from fedrobust.defences.fitting import Fitting
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, sequence
from server.stages.evaluation import Evaluator


def with_fitted(evaluator: Evaluator, weights: Weights, defence: LearnedDefence, seed: int) -> Evaluator:
    """Return the evaluator of the same model behind `defence`, fitted to `weights` and the validation images.

    Args:
        evaluator: of the model without the defence.
        weights: of the model.
        defence: the settings of the defence.
        seed: the study's.
    """
    validation = evaluator.dataset.validation
    to = Fitting(
        validation.images.astype(np.float32) / np.float32(255),
        validation.labels.astype(np.int32),
        answers_of(evaluator.classifier, weights),
        int(sequence(seed, Purpose.DEFENCE).generate_state(1)[0]),
    )
    return evaluator.of_model(evaluator.classifier.with_defence(defence.fitted(to)))


def answers_of(classifier: Classifier, weights: Weights) -> Any:
    """Return the function from images in [0, 1] to the logits (n, classes) of the model without a defence."""
    trainable, statistics = classifier.arrays(weights)

    def answers(images: Any) -> Any:
        return classifier.logits(trainable, statistics, classifier.preparation(images))[0]

    return answers
