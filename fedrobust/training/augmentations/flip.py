"""Random flips."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS, uniform


@AUGMENTATIONS.register("flip")
@dataclass(frozen=True, kw_only=True)
class Flip:
    """Flip each image with probability one half (Krizhevsky et al., 2012, NeurIPS, section 4.1).

    Not for images with a fixed orientation: a chest X-ray flipped left to right shows the heart on the wrong side.

    Attributes:
        horizontal: flip left and right.
        vertical: flip top and bottom.
    """

    horizontal: bool = True
    vertical: bool = False

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images, each flipped with probability one half, and their targets."""
        for axis, wanted in ((1, self.vertical), (2, self.horizontal)):
            if wanted:
                turned = uniform(seed, axis, [tf.shape(images)[0], 1, 1, 1], 0.0, 1.0) < 0.5
                images = tf.where(turned, tf.reverse(images, [axis]), images)
        return images, targets
