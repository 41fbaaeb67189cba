"""JPEG augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrobust.defences.jpeg import Quality, compressed, quantisation_steps
from fedrobust.lazy import tf
from fedrobust.spec import SpecError
from fedrobust.training.augmentations.contract import AUGMENTATIONS, uniform


@AUGMENTATIONS.register("jpeg")
@dataclass(frozen=True, kw_only=True)
class JPEGCompression:
    """Compress each image as JPEG at a random quality (Hendrycks and Dietterich, 2019, arXiv:1903.12261, section 4.1).

    The loss is that of the prediction-time defence `jpeg`: cosine transform of 8 x 8 blocks and quantisation with
    libjpeg's tables. Recipes perturb the compressed images, so that no gradient passes the rounding.

    Attributes:
        lowest: libjpeg's quality, 1 to 100, of the strongest compression.
        highest: that of the weakest; each image's quality is a whole number, uniform between both.

    Raises:
        SpecError: the lowest quality is above the highest.
    """

    lowest: Quality = 30
    highest: Quality = 95

    def __post_init__(self) -> None:
        if self.lowest > self.highest:
            raise SpecError(f"lowest = {self.lowest}, highest = {self.highest}: choose lowest <= highest")

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the compressed images and their targets."""
        height, width, channels = images.shape[1:]
        qualities = range(self.lowest, self.highest + 1)
        tables = np.stack([quantisation_steps(quality, channels, height, width) for quality in qualities])
        drawn = uniform(seed, 0, [tf.shape(images)[0]], 0.0, len(qualities))
        chosen = tf.minimum(tf.cast(drawn, tf.int32), len(qualities) - 1)
        return tf.ensure_shape(compressed(images, tf.gather(tables, chosen)), images.shape), targets
