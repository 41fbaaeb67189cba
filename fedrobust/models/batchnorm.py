"""BatchNorm by TensorFlow's fused kernel: the results of Keras' layer in less time."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="fedrobust")
class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras' `BatchNormalization` over the last axis of images, computed by TensorFlow's fused kernel.

    Variables and configuration are those of the Keras layer, outputs and moving statistics equal up to rounding;
    training on a CPU is 10 to 25 % faster, and tracing much faster. Model files contain the Keras layer instead
    (`fedrobust.models.classifier.Classifier.deployable`), so that they open without this project.

    Args:
        measures: whether training normalises by the batch and records what it measures; else the moving statistics
            are used in training, too, and stay as they are.
        given: as of Keras' layer.
    """

    def __init__(self, measures: bool = True, **given: Any):
        super().__init__(**given)
        self.measures = measures  # no part of the configuration: files are written with Keras' layer

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalise `inputs` (n, height, width, channels); with `training` by the batch's statistics."""
        training = training and self.measures
        if inputs.shape.rank != 4 or self.axis not in (-1, 3) or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = self.gamma.value if self.scale else tf.ones([channels])
        shift = self.beta.value if self.center else tf.zeros([channels])
        if not (training and self.trainable):
            return normalized(
                inputs, scale, shift, self.moving_mean.value, self.moving_variance.value, self.epsilon, False
            )[0]
        outputs, mean, variance = normalized(
            inputs, scale, shift, tf.constant([]), tf.constant([]), self.epsilon, True
        )
        # The kernel reports the unbiased variance; Keras 3 records the biased one.
        n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), variance.dtype)
        self._record(self.moving_mean, mean)
        self._record(self.moving_variance, variance * ((n - 1.0) / n))
        return outputs

    def _record(self, moving: keras.Variable, measured: tf.Tensor) -> None:
        moving.assign(moving.value * self.momentum + measured * (1.0 - self.momentum))


def normalized(
    inputs: tf.Tensor,
    scale: tf.Tensor,
    shift: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    epsilon: float,
    is_training: bool,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return (outputs, mean, unbiased variance) of TensorFlow's fused kernel.

    The same as `tf.compat.v1.nn.fused_batch_norm`, without importing the API of TensorFlow 1.

    Args:
        inputs: (n, height, width, channels).
        scale: (channels,).
        shift: (channels,).
        mean: (channels,); empty in training, where the batch's mean is used.
        variance: likewise.
        epsilon: added to the variance.
        is_training: normalise by the batch's statistics.
    """
    outputs, measured_mean, measured_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=scale,
        offset=shift,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        exponential_avg_factor=1.0,
        data_format="NHWC",
        is_training=is_training,
    )
    return outputs, measured_mean, measured_variance
