"""Brightness and contrast augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Decay, Share
from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS, uniform


@AUGMENTATIONS.register("contrast")
@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Scale each image's deviations from its mean, then shift its brightness (Howard, 2013, arXiv:1312.5402).

    Attributes:
        contrast: largest relative change of the deviations, each way.
        brightness: largest shift in units of [0, 1], each way.
    """

    contrast: Decay = 0.2
    brightness: Share = 0.1

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the changed images, clipped to [0, 1], and their targets."""
        shape = [tf.shape(images)[0], 1, 1, 1]
        factor = uniform(seed, 0, shape, 1.0 - self.contrast, 1.0 + self.contrast)
        shift = uniform(seed, 1, shape, -self.brightness, self.brightness)
        mean = tf.reduce_mean(images, [1, 2, 3], keepdims=True)
        return tf.clip_by_value((images - mean) * factor + mean + shift, 0.0, 1.0), targets
