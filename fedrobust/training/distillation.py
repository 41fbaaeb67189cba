"""Knowledge distillation of a large model into a small student."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Distillation,
    MultilabelDistillation,
)
from fedrobust.training.optimizers import Adam
from fedrobust.training.recipes import Plain
from fedrobust.training.schedule import learning_rates
from fedrobust.training.training_data import TrainingData

TARGET_STEPS = 1000


@dataclass(frozen=True)
class Distilled:
    """A trained student: its weights, the number of epochs, and the last epoch's loss."""

    weights: Weights
    epochs: int
    metrics: Mapping[str, Any]


def distil(
    student: Classifier,
    images: np.ndarray,
    teacher_logits: np.ndarray,
    temperature: float = 4.0,
    epochs: int = 0,
    batch_size: int = 32,
    learning_rate: float = 0.002,
    seed: int = 0,
) -> Distilled:
    """Train `student` on its teacher's logits (Hinton et al., 2015, arXiv:1503.02531).

    Minimises T^2 KL(teacher || student) on logits divided by T with Adam and a cosine decay of the learning rate to 0;
    of a multi-label student the mean over findings. Labels are not used.

    Args:
        student: the student, trained from its initial weights.
        images: transfer images, uint8 (n, height, width, channels).
        teacher_logits: (n, classes) float32, the teacher's logits of `images`.
        temperature: T, positive.
        epochs: passes over the images; 0: as many as give about 1,000 steps, between 5 and 200.
        batch_size: largest batch.
        learning_rate: at the first step.
        seed: of the order of images.
    """
    update = LocalUpdate(
        student,
        Plain(),
        Adam(),
        loss=MultilabelDistillation(temperature) if student.multilabel else Distillation(temperature),
        targets=tf.TensorSpec([None, student.classes], tf.float32),
    )
    targets = np.asarray(teacher_logits, np.float32)
    return _taught(update, images, targets, epochs, batch_size, learning_rate, seed)


def teach_labels(
    student: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    epochs: int = 0,
    batch_size: int = 32,
    learning_rate: float = 0.002,
    seed: int = 0,
) -> Distilled:
    """Train `student` as `distil` does, on the same images in the same order, but on labels.

    It is the control of distillation: robustness that it also has does not come from the teacher (Carlini et al., 2019,
    arXiv:1902.06705).

    Args:
        student: the student, trained from its initial weights.
        images: uint8 (n, height, width, channels).
        labels: (n,) int32, classes or label sets.
        epochs: passes over the images; 0: see `distil`.
        batch_size: largest batch.
        learning_rate: at the first step.
        seed: of the order of images.
    """
    update = LocalUpdate(
        student, Plain(), Adam(), BinaryCrossEntropy() if student.multilabel else CrossEntropy()
    )
    targets = np.asarray(labels, np.int32)
    return _taught(update, images, targets, epochs, batch_size, learning_rate, seed)


def _taught(
    update: LocalUpdate,
    images: np.ndarray,
    targets: np.ndarray,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> Distilled:
    steps_per_epoch = -(-len(images) // batch_size)
    epochs = epochs or int(np.clip(round(TARGET_STEPS / steps_per_epoch), 5, 200))
    batches = draw_batches(np.arange(len(images)), epochs, batch_size, generator(seed, Purpose.DISTILLATION))
    weights, metrics = update(
        update.classifier.initial_weights(),
        TrainingData.of(images, targets),
        batches,
        learning_rates(learning_rate, "cosine", len(batches.sizes)),
        graph_seed(seed, Purpose.DISTILLATION),
    )
    return Distilled(weights, epochs, metrics)
