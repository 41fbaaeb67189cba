"""Sums of clipped gradients of single images, inside the graph: of a whole network, or of a head on features."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import tensorflow as tf

from fedrobust.models.classifier import Classifier
from fedrobust.training.augmentations.contract import Augmentation
from fedrobust.training.buckets import Buckets
from fedrobust.training.drawn_batch import DrawnBatch
from fedrobust.training.losses import Loss

MOST_NUMBERS = 2**25
"""Values of the gradients of the images that are computed at once: 128 MB."""

MOST_IMAGES = 32
"""Images whose gradients are computed at once. Poisson batches vary in size, and their last part is padded: parts of 32
take .53 ms an image and 144 images for a batch of 128 in the mean, parts of 128 .64 ms and 190 (edge-cnn of width 16).
"""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep from the terminal that the gradients of convolutions are computed in a loop over images."""
    log = tf.get_logger()
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def kept_share(squares: tf.Tensor, clip: float, valid: tf.Tensor) -> tf.Tensor:
    """Return min(1, clip / norm) (m,) from squared norms (m,), and 0 for padding.

    A gradient that is not finite counts as 0: it may not reach the sum, whose sensitivity would be infinite.
    """
    norms = tf.sqrt(squares)
    share = tf.minimum(1.0, clip / tf.maximum(norms, 1e-30))
    return tf.where(valid & tf.math.is_finite(norms), share, 0.0)


@dataclass(frozen=True, eq=False)
class NetworkSums:
    """Gradients of a whole network, one image at a time but vectorised over them.

    The network may have no layer that mixes the images of a batch, as BatchNorm does.

    Attributes:
        classifier: the model as a function of its weights.
        loss: of one image.
        augmentations: random changes of each image.
        clip: largest norm of an image's gradient.
        batch_size: expected size of a batch.
    """

    classifier: Classifier
    loss: Loss
    augmentations: Sequence[Augmentation]
    clip: float
    batch_size: int

    @property
    def at_once(self) -> int:
        """Images whose gradients are computed at once: those that fit into memory, and no more than `MOST_IMAGES`."""
        fit = MOST_NUMBERS // self.classifier.layout.parameters
        return max(1, min(self.batch_size, MOST_IMAGES, fit))

    def images(self) -> tf.TensorSpec:
        """Return the specification of the images that `__call__` gets."""
        return tf.TensorSpec([None, *self.classifier.preparation.native], tf.uint8)

    def __call__(
        self,
        buckets: Buckets,
        weights: list[tf.Tensor],
        stored: tf.Tensor,
        targets: tf.Tensor,
        valid: tf.Tensor,
        seed: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Return the sum of the clipped gradients, one tensor for each bucket.

        Args:
            buckets: the division of the weights.
            weights: the buckets.
            stored: (m, height, width, channels) uint8.
            targets: (m,) labels or label sets.
            valid: (m,) bool; False for padding.
            seed: (2,) int32, of the augmentations.
        """
        classes, multilabel = self.classifier.classes, self.classifier.multilabel
        drawn = DrawnBatch.of(stored, targets, tf.ones([classes]), seed, self.augmentations, multilabel)
        prior = tf.fill([classes], 1.0 / classes)

        def gradient(one: tuple[tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
            image, target = one
            with tf.GradientTape() as tape:
                tape.watch(weights)
                prepared = self.classifier.preparation(image[None])
                logits, _ = self.classifier.logits(buckets.arrays(weights), [], prepared, training=True)
                value = self.loss(logits, target[None], prior)[0]
            found: list[tf.Tensor] = tape.gradient(value, weights, unconnected_gradients="zero")
            return found

        with _without_warnings():
            each = tf.vectorized_map(gradient, (drawn.images, drawn.targets))
        squares = tf.add_n([tf.reduce_sum(one * one, axis=list(range(1, one.shape.rank))) for one in each])
        share = kept_share(squares, self.clip, valid)
        # A product with 0 would keep values that are not finite.
        finite = [tf.where(tf.math.is_finite(one), one, 0.0) for one in each]
        return [tf.tensordot(share, one, 1) for one in finite]


@dataclass(frozen=True, eq=False)
class HeadSums:
    """Gradients of a dense layer from features to logits, in closed form.

    With d the gradient of an image's loss by its logits and x its features, that by the kernel is x d^T and that by the
    bias d: its squared norm is |d|^2 (|x|^2 + 1), and no gradient of a single image is formed (Goodfellow, 2015,
    arXiv:1510.01799).

    Attributes:
        classifier: a model whose layers are frozen except the head.
        loss: of one image.
        clip: largest norm of an image's gradient.
        batch_size: expected size of a batch.
    """

    classifier: Classifier
    loss: Loss
    clip: float
    batch_size: int

    @property
    def at_once(self) -> int:
        """Images whose gradients are computed at once."""
        return self.batch_size

    def images(self) -> tf.TensorSpec:
        """Return the specification of the features that `__call__` gets."""
        return tf.TensorSpec([None, int(self.classifier.layout.entries[0].shape[0])], tf.float32)

    def __call__(
        self,
        buckets: Buckets,
        weights: list[tf.Tensor],
        stored: tf.Tensor,
        targets: tf.Tensor,
        valid: tf.Tensor,
        seed: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Return the sum of the clipped gradients; see `NetworkSums`. `stored` (m, d) are features."""
        kernel, bias = buckets.arrays(weights)
        classes = self.classifier.classes
        logits = tf.matmul(stored, kernel) + bias
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = self.loss(logits, targets, tf.fill([classes], 1.0 / classes))
        slopes = tape.gradient(losses, logits)
        squares = tf.reduce_sum(slopes * slopes, 1) * (tf.reduce_sum(stored * stored, 1) + 1.0)
        share = kept_share(squares, self.clip, valid)[:, None]
        kept = tf.where(share > 0, slopes * share, 0.0)
        by_kernel = tf.matmul(tf.where(share > 0, stored, 0.0), kept, transpose_a=True)
        flat = tf.concat([tf.reshape(by_kernel, [-1]), tf.reduce_sum(kept, 0)], 0)
        return buckets.split(flat)
