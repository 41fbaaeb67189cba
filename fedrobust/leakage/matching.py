"""How well images explain a captured update: the match that reconstructions search for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.lazy import tf
from fedrobust.leakage.captured import CapturedUpdate
from fedrobust.memoize import part
from fedrobust.models.layout import Kind


@dataclass(frozen=True, eq=False)
class Match:
    """Compares the gradient of images with a captured one, for use inside a graph; it has the right derivative.

    The network is in training mode, as the client's was: BatchNorm normalises by the statistics of the searched images,
    unless the study freezes it. Where it does so, the client sends its moving statistics along with its weights: after
    one step they give away mean and variance of its batch in every BatchNorm layer.

    Attributes:
        captured: the update.
        labels: of the searched images, (n,).
        moments: weight of the squared distance between the statistics after a pass of the images and the sent ones,
            relative to how far the latter have moved (Yin et al., 2021, arXiv:2104.07586, equation 9, whose server has
            the statistics of the training set instead); 0: not used.
    """

    captured: CapturedUpdate
    labels: NDArray[np.int32]
    moments: float = 0.0

    def __call__(self, images: Any) -> tuple[Any, Any]:
        """Return the distance that is to be minimised, 1 - cosine + moments, and the cosine, of images (n, h, w, c)."""
        classifier, (trainable, statistics) = self.captured.classifier, self._arrays
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            logits, after = self._network.stateless_call(
                trainable, classifier.frozen.among(statistics), classifier.preparation(images), training=True
            )
            after = classifier.frozen.without(list(after))
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(self.labels, logits)
            loss = tf.reduce_mean(losses)
        slopes = tape.gradient(loss, trainable)
        pairs = zip(slopes, self._directions, strict=True)
        along = tf.add_n([tf.reduce_sum(mine * its) for mine, its in pairs])
        # Where the network is certain of the labels there is no gradient: the root's would be infinite.
        cosine = along / tf.sqrt(tf.add_n([tf.reduce_sum(mine**2) for mine in slopes]) + 1e-24)
        if not self._sent:
            return 1 - cosine, cosine
        apart = [tf.reduce_sum((own - its) ** 2) for own, its in zip(after, self._sent, strict=True)]
        moved = [tf.reduce_sum((own - its) ** 2) for own, its in zip(statistics, self._sent, strict=True)]
        return 1 - cosine + self.moments * tf.add_n(apart) / (tf.add_n(moved) + 1e-12), cosine

    # What follows is computed once, outside of the graph in which it is first asked for.

    @part
    def _network(self) -> Any:
        # Starts Keras.
        from fedrobust.models.twice_differentiable import twice_differentiable

        with tf.init_scope():
            return twice_differentiable(self.captured.classifier.network)

    @part
    def _arrays(self) -> tuple[list[Any], list[Any]]:
        with tf.init_scope():
            return self.captured.classifier.arrays(self.captured.start)

    @part
    def _directions(self) -> list[Any]:
        gradient = self.captured.gradient
        unit = gradient / max(float(np.linalg.norm(gradient)), 1e-12)
        return self._split(unit, "trainable")

    @part
    def _sent(self) -> list[Any]:
        if not self.moments or not self.captured.statistics.size:
            return []
        return self._split(self.captured.statistics, "statistic")

    def _split(self, vector: NDArray[np.float32], kind: Kind) -> list[Any]:
        with tf.init_scope():
            return list(self.captured.classifier.layout.split(tf.constant(vector), kind))


def variation(images: Any) -> Any:
    """Return the total variation: mean absolute difference of neighbours, down plus across."""
    down = tf.reduce_mean(tf.abs(images[:, 1:] - images[:, :-1]))
    return down + tf.reduce_mean(tf.abs(images[:, :, 1:] - images[:, :, :-1]))
