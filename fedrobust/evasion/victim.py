"""A model under attack: its logits and input gradients, compiled once, in the space that the attacker perturbs."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from fedrobust.evasion.steps import cross_entropy_direction, input_gradient
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights


@dataclass(frozen=True)
class HeldWeights:
    """Weights as tensors, converted once and used for many batches."""

    trainable: tf.Tensor
    statistics: tf.Tensor


class Victim:
    """The functions of a classifier that evaluation and attacks call, in inference mode.

    Args:
        classifier: the model as a function of its weights.
        space: "native": attacks perturb stored pixels and the gradient runs through the preparation;
            "prepared": they perturb what the network takes, as the paper does.
    """

    def __init__(self, classifier: Classifier, space: str = "native"):
        self.classifier = classifier
        self.space = space
        preparation = classifier.preparation
        shape = preparation.prepared if space == "prepared" else preparation.native
        vectors = [
            tf.TensorSpec([classifier.layout.parameters], tf.float32),
            tf.TensorSpec([classifier.layout.statistics], tf.float32),
        ]
        images = tf.TensorSpec([None, *shape], tf.float32)
        self._logits = tf.function(self._forward, input_signature=[*vectors, images], autograph=False)
        self._gradient = tf.function(
            self._backward,
            input_signature=[*vectors, images, tf.TensorSpec([None], tf.int32)],
            autograph=False,
        )

    def hold(self, weights: Weights) -> HeldWeights:
        """Return `weights` as tensors."""
        return HeldWeights(tf.constant(weights.trainable), tf.constant(weights.statistics))

    def images(self, stored: np.ndarray) -> tf.Tensor:
        """Return stored images, uint8 (n, height, width, channels), as float32 in [0, 1] in the attack's space."""
        native = tf.cast(tf.constant(stored), tf.float32) / 255.0
        return self.classifier.preparation(native) if self.space == "prepared" else native

    def logits(self, weights: HeldWeights, images: tf.Tensor) -> tf.Tensor:
        """Return logits (n, classes) of `images` in the attack's space."""
        return self._logits(weights.trainable, weights.statistics, images)

    def gradient(
        self, weights: HeldWeights, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits, and the direction of each image's cross-entropy gradient with respect to its pixels.

        The direction is scaled so that it does not vanish where the model is sure; see `cross_entropy_direction`.
        """
        logits, gradient = self._gradient(weights.trainable, weights.statistics, images, labels)
        return logits, gradient

    def _forward(self, trainable: tf.Tensor, statistics: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        prepared = images if self.space == "prepared" else self.classifier.preparation(images)
        layout = self.classifier.layout
        logits, _ = self.classifier.logits(
            layout.split(trainable, "trainable"), layout.split(statistics, "statistic"), prepared
        )
        return logits

    def _backward(
        self, trainable: tf.Tensor, statistics: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seen: list[tf.Tensor] = []

        def losses(x: tf.Tensor) -> tf.Tensor:
            seen.append(self._forward(trainable, statistics, x))
            return cross_entropy_direction(seen[0], labels)

        gradient = input_gradient(losses, images)
        return seen[0], gradient
