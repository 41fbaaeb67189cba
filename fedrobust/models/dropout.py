"""Dropout without a random state: what is dropped depends on the layer and its input alone."""

import zlib
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="fedrobust")
class StatelessDropout(keras.layers.Layer):  # type: ignore[misc]
    """Keras' `Dropout`, with random numbers from a hash of the layer's name and input.

    Inputs change with every batch and step, and so does what is dropped. The same weights and images give the same
    results in every thread and process, and there is no random state for clients to exchange.

    Args:
        rate: share of the inputs that are dropped, from 0 to 1.
        noise_shape: shape of the random numbers, 1 where they are shared and None where they are not; None: the
            inputs' shape.
        given: as of Keras' layers.

    Example:
        >>> drop, images = StatelessDropout(rate=0.5, name="drop"), tf.random.stateless_uniform((1, 1000), (0, 1)) + 1.0
        >>> once, again = drop(images, training=True), drop(images, training=True)
        >>> bool(tf.reduce_all(once == again)), 400 < int(tf.math.count_nonzero(once)) < 600
        (True, True)
    """

    def __init__(self, rate: float, noise_shape: tuple[int | None, ...] | None = None, **given: Any):
        super().__init__(**given)
        self.rate = rate
        self.noise_shape = noise_shape

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Set a share of the inputs to 0 in training, and multiply the others by ``1 / (1 - rate)``."""
        if not training or not self.rate:
            return inputs
        if self.rate == 1:
            return inputs * 0.0
        # A sum of whole numbers does not depend on its order.
        mark = tf.reduce_sum(tf.bitcast(inputs, tf.int32))
        shape = tf.shape(inputs)
        if self.noise_shape is not None:
            shape = tf.stack(
                [shape[axis] if side is None else side for axis, side in enumerate(self.noise_shape)]
            )
        drawn = tf.random.stateless_uniform(shape, [zlib.crc32(self.name.encode()) & 0x7FFFFFFF, mark])
        return tf.where(drawn < self.rate, 0.0, inputs / (1.0 - self.rate))

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape}


def without_state(layer: Any, name: str) -> StatelessDropout | None:
    """Return the layer that replaces a `Dropout` or `SpatialDropout2D`, with its new name; None for another layer."""
    shapes = {
        keras.layers.Dropout: getattr(layer, "noise_shape", None),
        keras.layers.SpatialDropout2D: (None, 1, 1, None),
    }
    if layer.__class__ not in shapes or getattr(layer, "data_format", "") == "channels_first":
        return None
    return StatelessDropout(rate=layer.rate, noise_shape=shapes[layer.__class__], name=name)
