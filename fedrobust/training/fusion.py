"""The distillation of several models into one of the same network, by the server, within a round."""

import numpy as np
import tensorflow as tf

from fedrobust.aggregation.answers import Fusion
from fedrobust.memoize import memoize
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.training.batches import draw_batches
from fedrobust.training.distillation import MethodRecipe
from fedrobust.training.distillation_methods import SoftLabels
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import Distillation, MultilabelDistillation
from fedrobust.training.optimizers import Adam
from fedrobust.training.schedule import learning_rates
from fedrobust.training.training_data import TrainingData


def fuse(
    classifier: Classifier,
    start: Weights,
    images: np.ndarray,
    logits: np.ndarray,
    fusion: Fusion,
    seed: int,
    round: int,
) -> Weights:
    """Return the weights after training from `start` on the ensemble's logits.

    Args:
        classifier: the model.
        start: its weights before.
        images: uint8 (n, height, width, channels).
        logits: (n, classes), the mean logits of the ensemble.
        fusion: steps, batches, learning rate, temperature.
        seed: the study's.
        round: from 1; it selects the order of images.
    """
    epochs = -(-fusion.steps // -(-len(images) // fusion.batch_size))
    draw = generator(seed, Purpose.DISTILLATION, round)
    batches = draw_batches(np.arange(len(images)), epochs, fusion.batch_size, draw).first(fusion.steps)
    trained, _ = _update(classifier, fusion.temperature)(
        start,
        TrainingData.of(images, np.asarray(logits, np.float32)),
        batches,
        learning_rates(fusion.learning_rate, "cosine", len(batches.sizes)),
        graph_seed(seed, Purpose.DISTILLATION, round),
    )
    return trained


@memoize(keep=2, key=lambda classifier, temperature: (id(classifier), temperature))
def _update(classifier: Classifier, temperature: float) -> LocalUpdate:
    """Return the compiled update, which keeps its classifier, so that no other one can have its identity."""
    loss = MultilabelDistillation(temperature) if classifier.multilabel else Distillation(temperature)
    spec = tf.TensorSpec([None, classifier.classes], tf.float32)
    return LocalUpdate(classifier, MethodRecipe(SoftLabels()), Adam(), loss=loss, targets=spec)
