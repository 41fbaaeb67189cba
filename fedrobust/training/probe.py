"""Logits and input gradients of a model with any weights, for a malicious client on its own images."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from fedrobust.graphs.function import GraphFunction
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights

BATCH = 64


class Probe:
    """Functions of weights and images, in inference mode and without the prediction-time defence.

    Args:
        classifier: the model as a function of its weights.

    Example:
        >>> from fedrobust.models.classifier import build_classifier
        >>> classifier = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0)
        >>> probe, weights = Probe(classifier), classifier.initial_weights()
        >>> images = np.zeros((3, 16, 16, 1), np.uint8)
        >>> probe.logits(weights, images).shape
        (3, 2)
        >>> probe.gradients(weights, images / np.float32(255), np.array([0, 1, 0])).shape
        (3, 16, 16, 1)
    """

    def __init__(self, classifier: Classifier):
        self.classifier = classifier
        held = [
            tf.TensorSpec([classifier.layout.parameters], tf.float32),
            tf.TensorSpec([classifier.layout.statistics], tf.float32),
            tf.TensorSpec([None, *classifier.preparation.native], tf.float32),
        ]
        labels = tf.TensorSpec([None], tf.int32)
        self._logits = GraphFunction(self._answers, held, classifier.origin, "probe logits")
        self._gradients = GraphFunction(self._slopes, [*held, labels], classifier.origin, "probe gradients")

    def logits(self, weights: Weights, images: np.ndarray) -> np.ndarray:
        """Return the logits (n, classes) float32 of uint8 `images` (n, height, width, channels)."""
        held = tf.constant(weights.trainable), tf.constant(weights.statistics)
        parts = [
            self._logits(*held, tf.constant(images[part], tf.float32) / 255.0).numpy()
            for part in _parts(len(images))
        ]
        return np.concatenate([np.zeros((0, self.classifier.classes), np.float32), *parts])

    def gradients(self, weights: Weights, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the gradient of each image's cross-entropy by the image, in the shape of `images`.

        Args:
            weights: of the model.
            images: (n, height, width, channels) float32 in [0, 1].
            labels: (n,) classes.
        """
        held = tf.constant(weights.trainable), tf.constant(weights.statistics)
        parts = [
            self._gradients(
                *held, tf.constant(images[part], tf.float32), tf.constant(labels[part], tf.int32)
            ).numpy()
            for part in _parts(len(images))
        ]
        return np.concatenate([np.zeros((0, *images.shape[1:]), np.float32), *parts])

    def _answers(self, trainable: tf.Tensor, statistics: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        layout = self.classifier.layout
        weights, moving = layout.split(trainable, "trainable"), layout.split(statistics, "statistic")
        return self.classifier.logits(weights, moving, self.classifier.preparation(images))[0]

    def _slopes(
        self, trainable: tf.Tensor, statistics: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self._answers(trainable, statistics, images)
            # Summed, not averaged: each image's gradient is its own.
            loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return tape.gradient(loss, images)


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, count, BATCH))
