"""A network whose gradient can be differentiated: for attacks that search images by the gradient that they give.

`tf.nn.moments`, on which Keras' normalisation rests, passes no gradient through the mean inside the variance. The first
derivative is right, as that part is zero; the second one is not. TensorFlow's fused BatchNorm gives its own statistics
no gradient at all.
"""

from typing import Any

import keras
import tensorflow as tf

from fedrobust.models.batchnorm import FusedBatchNormalization


class ExactGroupNormalization(keras.layers.GroupNormalization):  # type: ignore[misc]
    """Keras' `GroupNormalization` with right second derivatives."""

    def _apply_normalization(self, reshaped_inputs: tf.Tensor, input_shape: Any) -> tf.Tensor:
        axes = [
            axis for axis in range(1, len(reshaped_inputs.shape)) if axis != len(reshaped_inputs.shape) - 2
        ]
        mean, variance = moments(reshaped_inputs, axes)
        shape = self._create_broadcast_shape(input_shape)
        scale = tf.reshape(self.gamma.value, shape) if self.scale else 1.0
        shift = tf.reshape(self.beta.value, shape) if self.center else 0.0
        return (reshaped_inputs - mean) * tf.math.rsqrt(variance + self.epsilon) * scale + shift


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
    """Return `network` with normalisation whose gradient has the right gradient, and with arbitrary weights.

    Variables have the order of the network's. Only normalisation over the last axis is replaced.
    """
    return keras.models.clone_model(network, clone_function=_exact, recursive=True)


def _exact(layer: keras.layers.Layer) -> keras.layers.Layer:
    axis = getattr(layer, "axis", -1)
    last = axis in (-1, 3)
    if isinstance(layer, keras.layers.GroupNormalization) and last:
        return ExactGroupNormalization.from_config(layer.get_config())
    if isinstance(layer, keras.layers.BatchNormalization) and last:
        measures = layer.measures if isinstance(layer, FusedBatchNormalization) else True
        return ExactBatchNormalization(measures, **layer.get_config())
    return layer.__class__.from_config(layer.get_config())
