"""The fit of a prediction-time defence to a model and the validation images."""

from typing import Any

import numpy as np

from fedrobust.defences.contract import LearnedDefence, is_learned
from fedrobust.defences.fitting import Fitting
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, sequence
from fedrobust.study import Study
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


def defence_remarks(study: Study) -> list[str]:
    """Return to what the study's learned defence is fitted and which figures are without it, in sentences."""
    if not is_learned(study.prediction_defence):
        return []
    named, images = f'model.defence = "{study.experiment.model.defence}"', len(study.dataset.validation)
    return [
        f"{named}: it is fitted after the last round, to the selected model and {images} validation images; the "
        "figures of rounds, and of central, personal and local models, are of models without it"
    ]
