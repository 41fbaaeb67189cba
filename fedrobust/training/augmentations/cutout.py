"""Cutout."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import PositiveShare
from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS, uniform


@AUGMENTATIONS.register("cutout")
@dataclass(frozen=True, kw_only=True)
class Cutout:
    """Replace a square around a random pixel by the image's mean (DeVries and Taylor, 2017, arXiv:1708.04552).

    The square may extend beyond the image, as in the paper.

    Attributes:
        side: of the square, as a share of the image's shorter side.
    """

    side: PositiveShare = 0.3

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images with a square covered, and their targets."""
        n, (height, width) = tf.shape(images)[0], images.shape[1:3]
        reach = self.side * min(height, width) / 2
        rows = (
            tf.abs(tf.range(height, dtype=tf.float32) + 0.5 - uniform(seed, 0, [n, 1], 0.0, height)) < reach
        )
        columns = (
            tf.abs(tf.range(width, dtype=tf.float32) + 0.5 - uniform(seed, 1, [n, 1], 0.0, width)) < reach
        )
        covered = rows[:, :, None, None] & columns[:, None, :, None]
        return tf.where(covered, tf.reduce_mean(images, [1, 2, 3], keepdims=True), images), targets
