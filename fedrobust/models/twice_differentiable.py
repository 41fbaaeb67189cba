"""Normalisation whose gradient can be differentiated: for training and attacks on the gradient itself.

`tf.nn.moments`, on which Keras' normalisation rests, passes no gradient through the mean inside the variance. The first
derivative is right, as that part is zero; the second one is not. TensorFlow's fused BatchNorm gives its own statistics
no gradient at all; its outputs have right second derivatives, in training and in inference.
"""

from typing import Any

import keras
import tensorflow as tf

from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.layers import inner_layers


@keras.saving.register_keras_serializable(package="fedrobust")
class ExactGroupNormalization(keras.layers.GroupNormalization):  # type: ignore[misc]
    """Keras' `GroupNormalization`, with right second derivatives where the channels are the last axis."""

    def _apply_normalization(self, reshaped_inputs: tf.Tensor, input_shape: Any) -> tf.Tensor:
        if self.axis not in (-1, len(input_shape) - 1):
            return super()._apply_normalization(reshaped_inputs, input_shape)
        groups = len(reshaped_inputs.shape) - 2
        axes = [axis for axis in range(1, len(reshaped_inputs.shape)) if axis != groups]
        shape = self._create_broadcast_shape(input_shape)
        scale = tf.reshape(self.gamma.value, shape) if self.scale else None
        shift = tf.reshape(self.beta.value, shape) if self.center else None
        return _normalized(reshaped_inputs, axes, scale, shift, self.epsilon)


@keras.saving.register_keras_serializable(package="fedrobust")
class ExactLayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
    """Keras' `LayerNormalization`, with right second derivatives."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise `inputs` over the layer's axes."""
        if self.rms_scaling:  # no mean
            return super().call(inputs)
        axes = [self.axis] if isinstance(self.axis, int) else list(self.axis)
        axes = [axis % len(inputs.shape) for axis in axes]
        shape = [inputs.shape[axis] if axis in axes else 1 for axis in range(len(inputs.shape))]
        scale = tf.reshape(self.gamma.value, shape) if self.scale else None
        shift = tf.reshape(self.beta.value, shape) if self.center else None
        return _normalized(inputs, axes, scale, shift, self.epsilon)


EXACT = {
    keras.layers.GroupNormalization: ExactGroupNormalization,
    keras.layers.LayerNormalization: ExactLayerNormalization,
}
"""Keras' layers whose second derivative is wrong, and those that replace them in every network that is trained."""


def _normalized(
    inputs: tf.Tensor, axes: list[int], scale: tf.Tensor | None, shift: tf.Tensor | None, epsilon: float
) -> tf.Tensor:
    """Return normalised `inputs`, computed in single precision at least."""
    precise = tf.cast(inputs, tf.float32) if inputs.dtype.size < 4 else inputs
    mean, variance = moments(precise, axes)
    factor = tf.math.rsqrt(variance + epsilon)
    if scale is not None:
        factor = factor * tf.cast(scale, precise.dtype)
    offset = -mean * factor
    if shift is not None:
        offset = offset + tf.cast(shift, precise.dtype)
    return tf.cast(precise * factor + offset, inputs.dtype)


class ExactBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras' `BatchNormalization` over the last axis, with right second derivatives, also of its statistics.

    Args:
        measures: as of `FusedBatchNormalization`.
        given: as of Keras' layer.
    """

    def __init__(self, measures: bool = True, **given: Any):
        super().__init__(**given)
        self.measures = measures

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalise `inputs` (n, ..., channels); with `training` by the batch's statistics."""
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if training and self.measures and self.trainable:
            mean, variance = (
                tf.reshape(each, [-1]) for each in moments(inputs, list(range(len(inputs.shape) - 1)))
            )
            for moving, measured in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving.value * self.momentum + measured * (1.0 - self.momentum))
        scale = self.gamma.value if self.scale else 1.0
        shift = self.beta.value if self.center else 0.0
        return (inputs - mean) * tf.math.rsqrt(variance + self.epsilon) * scale + shift


def moments(values: tf.Tensor, axes: list[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and biased variance over axes, which are kept with length 1."""
    mean = tf.reduce_mean(values, axes, keepdims=True)
    return mean, tf.reduce_mean((values - mean) ** 2, axes, keepdims=True)


def twice_differentiable(network: keras.Model) -> keras.Model:
    """Return `network` with statistics of BatchNorm that have a gradient, too, and with arbitrary weights.

    Variables have the order of the network's. Only BatchNorm over the last axis is replaced.
    """
    return keras.models.clone_model(network, clone_function=_exact, recursive=True)


def exact_within(model: keras.Model) -> keras.Model:
    """Return a model that is a layer of another one, with the layers of `EXACT` in it."""
    clonable = model.__class__ in (keras.Model, keras.Sequential) or hasattr(model, "_functional")
    if not clonable or not any(layer.__class__ in EXACT for layer in inner_layers(model)):
        return model
    return keras.models.clone_model(
        model,
        clone_function=lambda layer: EXACT.get(layer.__class__, layer.__class__).from_config(
            layer.get_config()
        ),
        recursive=True,
    )


def _exact(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(layer, keras.layers.BatchNormalization) and getattr(layer, "axis", -1) in (-1, 3):
        measures = layer.measures if isinstance(layer, FusedBatchNormalization) else True
        return ExactBatchNormalization(measures, **layer.get_config())
    return EXACT.get(layer.__class__, layer.__class__).from_config(layer.get_config())
