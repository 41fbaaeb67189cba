"""Adversarial 8-bit training images, crafted by malicious clients with the global model's gradient."""

from functools import partial

import numpy as np
import tensorflow as tf

from fedrobust.graphs.function import GraphFunction
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.training.perturbation import cross_entropy_direction, project

BATCH = 64


class Crafting:
    """Signed gradient steps on stored images, in inference mode.

    Args:
        classifier: the model as a function of its weights.
    """

    def __init__(self, classifier: Classifier):
        self.classifier = classifier
        layout = classifier.layout
        self._step = GraphFunction(
            self._gradient_sign,
            [
                tf.TensorSpec([layout.parameters], tf.float32),
                tf.TensorSpec([layout.statistics], tf.float32),
                tf.TensorSpec([None, *classifier.preparation.native], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
            classifier.origin,
            "crafting",
        )

    def __call__(
        self,
        weights: Weights,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        epsilon: float,
        steps: int,
        step_size: float,
        ascend: bool,
    ) -> np.ndarray:
        """Return `images` perturbed along the gradient of the loss of `labels`, rounded to grey levels, uint8.

        Args:
            weights: of the model.
            images: uint8 (n, height, width, channels).
            labels: (n,) int32.
            epsilon: largest change of a pixel, in units of [0, 1].
            steps: gradient steps.
            step_size: in units of [0, 1].
            ascend: increase the loss, away from the labels; False: decrease it, towards them.
        """
        gradient_sign = partial(self._step, tf.constant(weights.trainable), tf.constant(weights.statistics))
        size = step_size if ascend else -step_size
        moved = np.empty_like(images)
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            clean = tf.constant(images[part], tf.float32) / 255.0
            targets = tf.constant(labels[part], tf.int32)
            batch = clean
            for _ in range(steps):
                batch = project(batch + size * gradient_sign(batch, targets), clean, epsilon)
            moved[part] = np.rint(batch.numpy() * 255).astype(np.uint8)
        return moved

    def _gradient_sign(
        self, trainable: tf.Tensor, statistics: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tf.Tensor:
        layout, prepare = self.classifier.layout, self.classifier.preparation
        weights, moving = layout.split(trainable, "trainable"), layout.split(statistics, "statistic")
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self.classifier.logits(weights, moving, prepare(images))[0]
            loss = tf.reduce_sum(cross_entropy_direction(logits, labels))
        return tf.sign(tape.gradient(loss, images))
