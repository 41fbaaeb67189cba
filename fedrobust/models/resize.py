"""Bilinear resizing with derivatives of every order.

TensorFlow declares the gradient of its bilinear resizing as not differentiable: a tape takes second derivatives through
it for zero, without a word. That of antialiased resizing has none at all, which is an error.
"""

from __future__ import annotations

from fedrobust.lazy import tf


def resized(images: tf.Tensor, size: tuple[int, int], antialias: bool) -> tf.Tensor:
    """Return `images` (n, height, width, channels) of float32, resized as by `tf.image.resize(method="bilinear")`.

    Resizing is linear: its gradient is its transpose, whose gradient is the resizing again.

    Args:
        images: to resize.
        size: height and width of the result.
        antialias: average over the pixels that one of the result covers, where images shrink.

    Example:
        >>> resized(tf.constant([[[[0.0]], [[1.0]]]]), (4, 1), antialias=False)[0, :, 0, 0].numpy().tolist()
        [0.0, 0.25, 0.75, 1.0]
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def forward(given: tf.Tensor) -> tuple[tf.Tensor, object]:
        return tf.image.resize(given, size, method="bilinear", antialias=antialias), transposed

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def transposed(slopes: tf.Tensor) -> tuple[tf.Tensor, object]:
        return _transposed(slopes, images, size, antialias), forward

    found: tf.Tensor = forward(images)
    return found


def _transposed(slopes: tf.Tensor, images: tf.Tensor, size: tuple[int, int], antialias: bool) -> tf.Tensor:
    """Return the gradient that TensorFlow computes; `images` give its shape alone."""
    images = tf.stop_gradient(images)
    if not antialias:
        return tf.raw_ops.ResizeBilinearGrad(
            grads=slopes, original_image=images, align_corners=False, half_pixel_centers=True
        )
    scale = tf.constant(size, tf.float32) / tf.cast(tf.shape(images)[1:3], tf.float32)
    return tf.raw_ops.ScaleAndTranslateGrad(
        grads=slopes,
        original_image=images,
        scale=scale,
        translation=tf.zeros([2]),
        kernel_type="triangle",
        antialias=True,
    )
