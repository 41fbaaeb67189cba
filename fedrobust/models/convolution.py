"""Convolutions that are matrix products, computed as such: the same numbers as Keras' layers in less time.

On images of 32 pixels a backbone's last stages work on 2 x 2 or 1 x 1 maps. There a convolution is a product with few
rows and a large kernel, and most of its time goes into bringing the kernel into a layout that pays off on larger maps.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="fedrobust")
class DirectConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras' `Conv2D`, as one matrix product where its kernel meets every input pixel at most once.

    That is so for 1 x 1 kernels, and for 1 x 1 maps padded to stay 1 x 1, of which a kernel sees nothing but its
    middle. The gradient of the rest of such a kernel is exactly 0, as in the convolution. Files are written with the
    Keras layer in its place (`fedrobust.models.classifier.Classifier.deployable`).
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the layer's outputs for `inputs` (n, height, width, channels)."""
        if self.groups != 1 or self.data_format != "channels_last":
            return super().call(inputs)
        if tuple(self.kernel_size) == (1, 1):
            down, across = self.strides
            if (down, across) != (1, 1):
                inputs = inputs[:, ::down, ::across, :]
            taps = self.kernel[0, 0]
        elif self.padding == "same" and tuple(inputs.shape[1:3]) == (1, 1):
            taps = self.kernel[middle(self.kernel_size[0]), middle(self.kernel_size[1])]
        else:
            return super().call(inputs)
        height, width = inputs.shape[1:3]
        outputs = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), tf.convert_to_tensor(taps))
        if self.use_bias:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        outputs = tf.reshape(outputs, [-1, height, width, self.filters])
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable(package="fedrobust")
class DirectDepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
    """Keras' `DepthwiseConv2D`; on 1 x 1 maps padded to stay 1 x 1, a product with the middle of its kernel."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the layer's outputs for `inputs` (n, height, width, channels)."""
        direct = self.padding == "same" and tuple(inputs.shape[1:3]) == (1, 1) and self.depth_multiplier == 1
        if not direct or self.data_format != "channels_last":
            return super().call(inputs)
        taps = self.kernel[middle(self.kernel_size[0]), middle(self.kernel_size[1]), :, 0]
        outputs = inputs * tf.convert_to_tensor(taps)
        if self.use_bias:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def middle(size: int) -> int:
    """Return which tap of `size` meets the one pixel of a map that is padded to stay as it is.

    Example:
        >>> middle(3), middle(5), middle(4)
        (1, 2, 1)
    """
    return (size - 1) // 2
