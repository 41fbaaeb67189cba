"""Scaling of images as convolutions with constants, which int8 calibration and converters support."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras


def convolve_rescalings(model: "keras.Model") -> "keras.Model":
    """Return `model` with its `Rescaling` and `Normalization` layers as convolutions; itself if it has none.

    A scaling becomes a multiplication and an addition, which LiteRT computes in place. The converter's
    calibration (TensorFlow 2.21) reads a tensor's range after such an operation has overwritten it, so that
    prepared images in [0, 1] seem to reach up to the factor: with ResNet50's 255, all pixels fall on two
    codes of int8 and the file guesses. A 1 x 1 depthwise convolution is not computed in place, and one operation is
    quicker than two. What an adapted `Normalization` computes with is no weight: a copy of the layer would have mean 0
    and variance 1.

    Args:
        model: functional Keras model on channels-last images; it is not changed.
    """
    import keras

    scalings = [layer for layer in model._flatten_layers() if is_scaling(layer)]
    if not scalings:
        return model
    copy = keras.models.clone_model(model, clone_function=convolved, recursive=True)
    constants = {id(weight) for layer in scalings for weight in layer.weights}
    copy.set_weights([weight.numpy() for weight in model.weights if id(weight) not in constants])
    return copy


def is_scaling(layer: "keras.layers.Layer") -> bool:
    """Return whether a layer multiplies its inputs by constants and adds constants."""
    import keras

    return isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)


def convolved(layer: "keras.layers.Layer") -> "keras.layers.Layer":
    """Return a scaling as a layer with constants, another layer as a copy without its weights."""
    import keras

    if not is_scaling(layer):
        return layer.__class__.from_config(layer.get_config())
    factors, offsets = factors_of(layer)
    return keras.layers.Lambda(scaled, arguments={"factors": factors, "offsets": offsets}, name=layer.name)


def scaled(inputs: Any, factors: NDArray[np.float32], offsets: NDArray[np.float32]) -> Any:
    """Return ``inputs * factors + offsets``; as a convolution of images, (n, height, width, channels), by channel."""
    import tensorflow as tf

    channels = inputs.shape[-1]
    if (
        len(inputs.shape) != 4
        or not by_channel(factors.shape, channels)
        or not by_channel(offsets.shape, channels)
    ):
        return inputs * tf.constant(factors) + tf.constant(offsets)
    factors, offsets = (np.broadcast_to(each.reshape(-1), (channels,)) for each in (factors, offsets))
    kernel = tf.constant(factors.reshape(1, 1, channels, 1))
    convolution = tf.nn.depthwise_conv2d(inputs, kernel, strides=(1, 1, 1, 1), padding="VALID")
    return tf.nn.bias_add(convolution, tf.constant(offsets))


def by_channel(shape: Sequence[int], channels: int) -> bool:
    """Return whether an array of this shape has one number in all, or one a channel on its last axis.

    Example:
        >>> by_channel((), 3), by_channel((1, 1, 1, 3), 3), by_channel((1, 5, 1, 1), 3)
        (True, True, False)
    """
    size = int(np.prod(shape, dtype=int))
    return size == 1 or (size == channels and shape[-1] == channels)


def factors_of(layer: "keras.layers.Layer") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (factors, offsets) of a `Rescaling` or `Normalization` layer."""
    import keras

    if isinstance(layer, keras.layers.Rescaling):
        return np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    if layer.input_mean is None:
        layer.finalize_state()  # from its weights
    mean = np.asarray(layer.mean, np.float32)
    deviation = np.maximum(
        np.sqrt(np.asarray(layer.variance, np.float32)), np.float32(keras.config.epsilon())
    )
    factors, offsets = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
    return factors.astype(np.float32), offsets.astype(np.float32)
