"""Measure BatchNorm's statistics anew, with the weights fixed."""

import numpy as np
import tensorflow as tf

from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights

MOST_IMAGES = 1024


class Recalibration:
    """Replaces moving statistics by those of given images.

    Averaged weights with averaged statistics do not fit each other: each client's statistics belong to its own
    weights, and lag behind them by the momentum. One pass in training mode measures, layer after layer, what the
    averaged weights make of real images; the mean and variance are exact for these images, not moving averages.

    Args:
        classifier: the model; its BatchNorm layers share one momentum.
    """

    def __init__(self, classifier: Classifier):
        self.classifier = classifier
        self.momentum = _momentum(classifier)
        layout = classifier.layout
        self._measure = tf.function(
            self._pass,
            input_signature=[
                tf.TensorSpec([layout.parameters], tf.float32),
                tf.TensorSpec([None, *classifier.preparation.native], tf.uint8),
            ],
            autograph=False,
        )

    def __call__(self, weights: Weights, images: np.ndarray) -> Weights:
        """Return `weights` with the statistics of `images`, uint8 (n, height, width, channels).

        At most 1,024 images are used, evenly spread over the given ones.
        """
        if not self.classifier.layout.statistics:
            return weights
        chosen = images
        if len(images) > MOST_IMAGES:
            chosen = images[np.linspace(0, len(images) - 1, MOST_IMAGES).astype(np.int64)]
        measured = self._measure(tf.constant(weights.trainable), tf.constant(chosen, tf.uint8))
        return Weights(weights.trainable, measured.numpy())

    def _pass(self, trainable: tf.Tensor, stored: tf.Tensor) -> tf.Tensor:
        layout = self.classifier.layout
        images = self.classifier.preparation(tf.cast(stored, tf.float32) / 255.0)
        # From statistics of zero, one training step leaves (1 - momentum) times what it measured.
        nothing = [tf.zeros(entry.shape) for entry in layout.of("statistic")]
        _, measured = self.classifier.logits(
            layout.split(trainable, "trainable"), nothing, images, training=True
        )
        return tf.concat([tf.reshape(value, [-1]) / (1.0 - self.momentum) for value in measured], 0)


def _momentum(classifier: Classifier) -> float:
    momenta = {
        layer.momentum
        for layer in classifier.network._flatten_layers()
        if isinstance(layer, FusedBatchNormalization)
    }
    if len(momenta) > 1:
        raise ValueError(f"BatchNorm momenta {sorted(momenta)}: one for all layers is needed")
    return float(momenta.pop()) if momenta else 0.0
