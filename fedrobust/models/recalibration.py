"""Recalibration: estimate BatchNorm's statistics anew, with the weights fixed."""

import numpy as np
import tensorflow as tf

from fedrobust.graphs.function import GraphFunction
from fedrobust.memoize import memoize
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights

BATCH_VALUES = 1024 * 32 * 32 * 3
"""Most values of a prepared batch: 1,024 colour images of 32 pixels, or 20 of 224."""


class Recalibration:
    """Replace BatchNorm's moving statistics by those of given images.

    Averaged statistics do not fit averaged weights: each client's statistics belong to its own weights, and lag behind
    them by the momentum. A forward pass in training mode gives the exact mean and variance of every BatchNorm input for
    the averaged weights.

    More images than one batch are normalised by batch, and the batches' statistics are combined: the mean of means, and
    the mean of variances plus the variance of means (Wu and Johnson, 2021, arXiv:2105.07576, Section 3, "PreciseBN",
    with its Algorithm 1's moments over all images).

    Statistics of a second set of BatchNorm, for adversarial images, stay as they are.

    Args:
        classifier: the model; its BatchNorm layers share one momentum.
        defended: whether images pass the classifier's prediction-time defence first; clients train without it.
    """

    def __init__(self, classifier: Classifier, defended: bool = False):
        self.classifier = classifier
        self.defended = defended
        self.momentum = _momentum(classifier)
        layout = classifier.layout
        self._means, self._variances = layout.places("moving_mean"), layout.places("variance")
        self._measure = GraphFunction(
            self._pass,
            [
                tf.TensorSpec([layout.parameters], tf.float32),
                tf.TensorSpec([None, *classifier.preparation.native], tf.uint8),
            ],
            classifier.origin,
            "recalibration behind the defence" if defended else "recalibration",
        )

    def __call__(self, weights: Weights, images: np.ndarray) -> Weights:
        """Return `weights` with the statistics of all `images`, uint8 (n, height, width, channels).

        Time grows with n, memory does not; see `fedrobust.data.calibration_sample` for a sufficient number.
        """
        if not self.classifier.layout.statistics:
            return weights
        trainable = tf.constant(weights.trainable)
        size = batch_size(self.classifier, self.copies)
        batches = np.array_split(images, -(-len(images) // size))
        measured = [self._measure(trainable, tf.constant(batch)).numpy() for batch in batches]
        found = (
            self._together(np.stack(measured), [len(batch) for batch in batches])
            if len(measured) > 1
            else measured[0].copy()
        )
        kept = self.classifier.layout.auxiliary
        found[kept] = weights.statistics[kept]
        return Weights(weights.trainable, found)

    @property
    def copies(self) -> int:
        """Number of images that the network is shown for each."""
        return getattr(self.classifier.defence, "samples", 1) if self.defended else 1

    def _together(self, measured: np.ndarray, sizes: list[int]) -> np.ndarray:
        """Return the combined statistics of batches, (batches, statistics) -> (statistics,)."""
        shares = np.array(sizes) / sum(sizes)
        found = shares @ measured
        means = measured[:, self._means]
        found[self._variances] += shares @ (means - found[self._means]) ** 2
        result: np.ndarray = found.astype(np.float32)
        return result

    def _pass(self, trainable: tf.Tensor, stored: tf.Tensor) -> tf.Tensor:
        layout = self.classifier.layout
        native = tf.cast(stored, tf.float32) / 255.0
        images = self.classifier.predicted(native) if self.defended else self.classifier.preparation(native)
        # Starting from zero, one training step records (1 - momentum) times the batch's statistics.
        nothing = [tf.zeros(entry.shape) for entry in layout.of("statistic")]
        _, measured = self.classifier.logits(
            layout.split(trainable, "trainable"), nothing, images, training=True
        )
        return tf.concat([tf.reshape(value, [-1]) / (1.0 - self.momentum) for value in measured], 0)


@memoize(keep=4)
def recalibration_of(classifier: Classifier, defended: bool = False) -> Recalibration:
    """Return what measures BatchNorm's statistics, shared by the studies and clients of a process."""
    return Recalibration(classifier, defended)


def batch_size(classifier: Classifier, copies: int = 1) -> int:
    """Return the number of images in a batch, each of which the network is shown in some copies."""
    height, width, channels = classifier.preparation.prepared
    return max(2, BATCH_VALUES // (height * width * channels * copies))


def recalibration_bytes(classifier: Classifier, images: int) -> int:
    """Return the memory of a recalibration on `images` images, in bytes: the largest layer's input and output."""
    return 4 * classifier.facts.largest * min(images, batch_size(classifier))


def _momentum(classifier: Classifier) -> float:
    momenta = classifier.facts.momenta
    if len(momenta) > 1:
        raise ValueError(f"BatchNorm momenta {list(momenta)}: one for all layers is needed")
    return momenta[0] if momenta else 0.0
