"""Gaussian blur augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Positive
from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS, uniform

SHARP = 0.05
"""Standard deviation, in pixels, below which a kernel is the identity in float32."""


@AUGMENTATIONS.register("blur")
@dataclass(frozen=True, kw_only=True)
class Blur:
    """Blur each image by a Gaussian of random width (Chen et al., 2020, arXiv:2002.05709, appendix A).

    The kernel is cut at the image's edges, and what is left of it is scaled to sum to 1.

    Attributes:
        deviation: largest standard deviation of the Gaussian, in native pixels; each image's is uniform from 0 to it.

    Example:
        >>> flat = tf.fill([2, 8, 8, 1], 0.5)
        >>> blurred, _ = Blur()(flat, tf.constant([0, 1]), tf.constant([1, 2]))
        >>> bool(tf.reduce_all(tf.abs(blurred - flat) < 1e-6))
        True
    """

    deviation: Positive = 1.0

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the blurred images and their targets."""
        deviations = uniform(seed, 0, [tf.shape(images)[0]], 0.0, self.deviation)
        rows, columns = (kernels(deviations, images.shape[axis]) for axis in (1, 2))
        blurred = tf.einsum("nij,njwc->niwc", rows, images)
        blurred = tf.einsum("nij,nhjc->nhic", columns, blurred)
        return tf.ensure_shape(tf.clip_by_value(blurred, 0.0, 1.0), images.shape), targets


def kernels(deviations: tf.Tensor, size: int) -> tf.Tensor:
    """Return the matrix that blurs along an axis of `size` pixels, for each of `deviations` (n,): (n, size, size).

    Example:
        >>> [round(float(weight), 3) for weight in kernels(tf.constant([1.0]), 3)[0, 0]]
        [0.574, 0.348, 0.078]
    """
    places = tf.range(size, dtype=tf.float32)
    squares = tf.square(places[:, None] - places[None, :])
    widths = tf.maximum(deviations, SHARP)[:, None, None]
    return tf.nn.softmax(-squares / (2.0 * tf.square(widths)), axis=-1)
