"""Mixup."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Positive
from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS


@AUGMENTATIONS.register("mixup")
@dataclass(frozen=True, kw_only=True)
class Mixup:
    """Convex combinations of two images and of their labels (Zhang et al., 2017, arXiv:1710.09412, equation 1).

    An image is mixed with the previous one in the batch, whose order is random.

    Attributes:
        alpha: of Beta(alpha, alpha), from which each image's weight is drawn.
    """

    alpha: Positive = 0.2

    mixes_labels = True

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mixtures of images and of targets (n, classes)."""
        n = tf.shape(images)[0]
        drawn = tf.random.stateless_gamma([2, n], seed, alpha=self.alpha)
        # With a small alpha both gamma draws may underflow to 0: the image is then not mixed.
        share = tf.where(tf.reduce_sum(drawn, 0) > 0, drawn[0] / tf.reduce_sum(drawn, 0), 1.0)
        pixels = tf.reshape(share, [n, 1, 1, 1])
        images = pixels * images + (1.0 - pixels) * tf.roll(images, 1, 0)
        return images, share[:, None] * targets + (1.0 - share[:, None]) * tf.roll(targets, 1, 0)
