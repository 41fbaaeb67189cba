"""Knowledge distillation of a large model into a small student."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.training.batches import draw_batches
from fedrobust.training.distillation_methods import DistillationMethod, SoftLabels, Teacher
from fedrobust.training.distillation_methods.contract import no_answers, trait
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Distillation,
    Loss,
    MultilabelDistillation,
)
from fedrobust.training.losses.binary_cross_entropy import answers as right_findings
from fedrobust.training.losses.contract import probabilities
from fedrobust.training.optimizers import Adam
from fedrobust.training.recipes import Batch, Plain, Recipe, StepLoss
from fedrobust.training.schedule import balanced_class_weights, learning_rates
from fedrobust.training.training_data import TrainingData

TARGET_STEPS = 1000


@dataclass(frozen=True)
class Distilled:
    """A trained student: its weights, the number of epochs, and the last epoch's loss."""

    weights: Weights
    epochs: int
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class MethodRecipe:
    """A distillation method as the recipe of a local update, whose targets are the teacher's logits.

    Attributes:
        method: the method.
        answers: native images to the teacher's logits, inside the graph; None: the method does not need it.
    """

    method: DistillationMethod
    answers: Callable[[tf.Tensor], tf.Tensor] | None = None

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the method's loss of `batch`; after the logits its targets hold the labels, if they are needed."""
        targets = batch.targets
        if not trait(self.method, "needs_labels"):
            labels = tf.fill(tf.shape(targets)[:1], -1)
        else:
            targets, labels = targets[:, :-1], tf.cast(targets[:, -1], tf.int32)
        teacher = Teacher(targets, labels, self.answers or no_answers)
        return self.method(batch._replace(targets=targets), teacher)


def distil(
    student: Classifier,
    images: np.ndarray,
    teacher_logits: np.ndarray,
    temperature: float = 4.0,
    epochs: int = 0,
    batch_size: int = 32,
    learning_rate: float = 0.002,
    seed: int = 0,
    method: DistillationMethod = SoftLabels(),  # noqa: B008 - frozen
    labels: np.ndarray | None = None,
    answers: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> Distilled:
    """Train `student` on its teacher's logits, by default as Hinton et al. (2015, arXiv:1503.02531).

    Minimises the method's loss, by default T^2 KL(teacher || student) on logits divided by T, with Adam and a cosine
    decay of the learning rate to 0; of a multi-label student the mean over findings.

    Args:
        student: the student, trained from its initial weights.
        images: transfer images, uint8 (n, height, width, channels).
        teacher_logits: (n, classes) float32, the teacher's logits of `images`.
        temperature: T, positive.
        epochs: passes over the images; 0: as many as give about 1,000 steps, between 5 and 200.
        batch_size: largest batch.
        learning_rate: at the first step.
        seed: of the order of images, and of the method's random numbers.
        method: see `fedrobust.training.distillation_methods`.
        labels: (n,) int32 labels of the images, for methods that need them.
        answers: native images in [0, 1] to the teacher's logits, inside the graph, for methods that evaluate the
            teacher on images of their own.

    Raises:
        ValueError: the method needs labels or the teacher, which are not given.
    """
    name, needs_labels = type(method).__name__, trait(method, "needs_labels")
    if needs_labels and labels is None:
        raise ValueError(f"{name} needs the labels of the images: give labels")
    if trait(method, "asks_teacher") and answers is None:
        raise ValueError(f"{name} evaluates the teacher on perturbed images: give answers")
    update = LocalUpdate(
        student,
        MethodRecipe(method, answers if trait(method, "asks_teacher") else None),
        Adam(),
        loss=MultilabelDistillation(temperature) if student.multilabel else Distillation(temperature),
        targets=tf.TensorSpec([None, student.classes + needs_labels], tf.float32),
    )
    targets = np.asarray(teacher_logits, np.float32)
    if needs_labels:
        targets = np.concatenate([targets, np.asarray(labels, np.float32)[:, None]], axis=1)
    return _taught(update, images, targets, epochs, batch_size, learning_rate, seed)


def teach_labels(
    student: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    epochs: int = 0,
    batch_size: int = 32,
    learning_rate: float = 0.002,
    seed: int = 0,
    recipe: Recipe = Plain(),  # noqa: B008 - frozen
    balanced: bool = False,
    loss: Loss | None = None,
) -> Distilled:
    """Train `student` as `distil` does, on the same images in the same order, but on labels.

    It is the control of distillation: robustness that it also has does not come from the teacher (Carlini et al., 2019,
    arXiv:1902.06705).

    Args:
        student: the student, trained from its initial weights.
        images: uint8 (n, height, width, channels).
        labels: (n,) int32, classes or label sets; or right answers in [0, 1], (n, classes) float32, of mixed images.
        epochs: passes over the images; 0: see `distil`.
        batch_size: largest batch.
        learning_rate: at the first step.
        seed: of the order of images.
        recipe: adversarial training makes a control with perturbed images, but without a teacher.
        balanced: whether all classes weigh alike, as for the clients of a teacher that was trained so.
        loss: of logits, labels and the shares of the classes among `labels`; None: cross-entropy, binary of findings.
    """
    targets = np.asarray(labels)
    mixed = targets.ndim == 2
    targets = targets.astype(np.float32 if mixed else np.int32)
    loss = loss or (BinaryCrossEntropy() if student.multilabel else CrossEntropy())
    soft = {"targets": tf.TensorSpec([None, student.classes], tf.float32)} if mixed else {}
    update = LocalUpdate(student, recipe, Adam(), loss, **soft)
    classes = targets.argmax(axis=1) if mixed else targets
    weights = balanced_class_weights(classes, student.classes) if balanced else None
    right = (right_findings if student.multilabel else probabilities)(tf.constant(targets), student.classes)
    prior = np.asarray(right).mean(axis=0)
    return _taught(update, images, targets, epochs, batch_size, learning_rate, seed, weights, prior)


def _taught(
    update: LocalUpdate,
    images: np.ndarray,
    targets: np.ndarray,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    class_weights: np.ndarray | None = None,
    prior: np.ndarray | None = None,
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
        class_weights,
        prior,
    )
    return Distilled(weights, epochs, metrics)
