"""Input scaling as convolutions, which int8 calibration supports."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def convolve_rescalings(model: "keras.Model") -> "keras.Model":
    """Return `model` with its `Rescaling` layers as 1 x 1 depthwise convolutions; itself if it has none.

    A rescaling becomes a multiplication and an addition, which LiteRT computes in place. The converter's
    calibration (TensorFlow 2.21) reads a tensor's range after such an operation has overwritten it, so that
    prepared images in [0, 1] seem to reach up to the factor: with ResNet50's 255, all pixels fall on two
    codes of int8 and the file guesses. A convolution is not computed in place, and one operation is quicker
    than two.

    Args:
        model: functional Keras model on channels-last images; it is not changed.
    """
    import keras

    if not any(isinstance(layer, keras.layers.Rescaling) for layer in model._flatten_layers()):
        return model
    copy = keras.models.clone_model(model, clone_function=convolved, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def convolved(layer: "keras.layers.Layer") -> "keras.layers.Layer":
    """Return a `Rescaling` layer as a convolution, another layer as a copy without its weights."""
    import keras
    import tensorflow as tf

    if not isinstance(layer, keras.layers.Rescaling):
        return layer.__class__.from_config(layer.get_config())

    def convolution(images: Any) -> Any:
        channels = images.shape[-1]
        factors = np.broadcast_to(np.asarray(layer.scale, np.float32), (channels,))
        offsets = np.broadcast_to(np.asarray(layer.offset, np.float32), (channels,))
        kernel = tf.constant(factors.reshape(1, 1, channels, 1))
        scaled = tf.nn.depthwise_conv2d(images, kernel, strides=(1, 1, 1, 1), padding="VALID")
        return tf.nn.bias_add(scaled, tf.constant(offsets))

    return keras.layers.Lambda(convolution, name=layer.name)
