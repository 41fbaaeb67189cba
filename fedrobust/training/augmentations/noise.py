"""Gaussian noise augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Share
from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS


@AUGMENTATIONS.register("noise")
@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add Gaussian noise to every pixel (Bishop, 1995, Neural Computation 7, 108-116).

    Attributes:
        deviation: standard deviation in units of [0, 1].
    """

    deviation: Share = 0.02

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the noisy images, clipped to [0, 1], and their targets."""
        drawn = tf.random.stateless_normal(tf.shape(images), seed)
        return tf.clip_by_value(images + self.deviation * drawn, 0.0, 1.0), targets
