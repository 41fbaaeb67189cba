"""Convolutions computed as matrix products where they are equivalent: the results of Keras' layers in less time.

For images of 32 pixels a backbone's last stages have 2 x 2 or 1 x 1 feature maps. There a convolution is a product of
few rows with a large kernel, and TensorFlow spends most of its time on rearranging the kernel for larger maps.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

LARGEST_MAP = 4
"""Pixels: on larger maps oneDNN's depthwise convolution is as fast as products are, or faster."""


@keras.saving.register_keras_serializable(package="fedrobust")
class DirectConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras' `Conv2D`, as one matrix product where each input pixel is multiplied by at most one kernel position.

    This holds for 1 x 1 kernels, and for 1 x 1 maps with "same" padding, where only the kernel's centre is used and the
    gradient of its other positions is 0. Model files contain the Keras layer instead
    (`fedrobust.models.classifier.Classifier.deployable`).
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the layer's outputs for `inputs` (n, height, width, channels)."""
        if self.groups != 1 or self.data_format != "channels_last":
            return super().call(inputs)
        if tuple(self.kernel_size) == (1, 1):
            down, across = self.strides
            if (down, across) != (1, 1):
                inputs = inputs[:, ::down, ::across, :]
            taps = tf.reshape(
                tf.convert_to_tensor(self.kernel), [-1, self.filters]
            )  # a slice would be a copy
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
    """Keras' `DepthwiseConv2D`; on maps of 1 to 4 pixels with "same" padding, products compute its gradient.

    On 1 x 1 maps the whole layer is a product with the kernel's centre. On maps smaller than the kernel, oneDNN
    computes a depthwise kernel's gradient as that of a grouped convolution, which takes several times as long.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the layer's outputs for `inputs` (n, height, width, channels)."""
        height, width = inputs.shape[1:3]
        if self.padding != "same" or self.depth_multiplier != 1 or self.data_format != "channels_last":
            return super().call(inputs)
        if (height, width) == (1, 1):
            taps = self.kernel[middle(self.kernel_size[0]), middle(self.kernel_size[1]), :, 0]
            outputs = inputs * tf.convert_to_tensor(taps)
        elif (
            height and width and height * width <= LARGEST_MAP and {*self.strides, *self.dilation_rate} == {1}
        ):
            outputs = depthwise(inputs, tf.convert_to_tensor(self.kernel))
        else:
            return super().call(inputs)
        if self.use_bias:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def middle(size: int) -> int:
    """Return the position, of `size`, that is multiplied with the pixel of a 1 x 1 map under "same" padding.

    Example:
        >>> middle(3), middle(5), middle(4)
        (1, 2, 1)
    """
    return (size - 1) // 2


@tf.custom_gradient  # type: ignore[untyped-decorator]
def depthwise(
    inputs: tf.Tensor, kernel: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Return TensorFlow's depthwise convolution, padded to keep its size, with `kernel_gradient` for its kernel.

    Args:
        inputs: (n, height, width, channels).
        kernel: (rows, columns, channels, 1).
    """

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(inputs),
            filter=kernel,
            out_backprop=upstream,
            strides=[1, 1, 1, 1],
            padding="SAME",
        )
        return of_inputs, kernel_gradient(inputs, upstream, kernel.shape)

    return tf.nn.depthwise_conv2d(inputs, kernel, [1, 1, 1, 1], "SAME"), gradients


def kernel_gradient(inputs: tf.Tensor, upstream: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Return the gradient of a depthwise kernel of `shape` from products of every input with every output pixel.

    Args:
        inputs: (n, height, width, channels).
        upstream: the gradient of the outputs, of the same shape.
        shape: (rows, columns, channels, 1) of the kernel.
    """
    height, width, channels = inputs.shape[1:]
    pixels = height * width
    products = tf.reduce_sum(
        tf.reshape(inputs, [-1, pixels, 1, channels]) * tf.reshape(upstream, [-1, 1, pixels, channels]), 0
    )
    taps = meetings(height, width, shape[0], shape[1]).reshape(-1, pixels * pixels)
    return tf.reshape(tf.matmul(taps, tf.reshape(products, [pixels * pixels, channels])), shape)


def meetings(height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """Return which tap of a kernel leads from which input to which output pixel of a map that keeps its size.

    Returns:
        (rows, columns, height, width, height, width) float32, 1 where they meet and 0 elsewhere: the tap, the input,
        the output.

    Example:
        >>> meetings(1, 2, 1, 3)[0, :, 0, :, 0, :].tolist()
        [[[0.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 0.0]]]
    """
    tap, column, y, x, down, across = np.indices((rows, columns, height, width, height, width))
    return ((y - down == tap - middle(rows)) & (x - across == column - middle(columns))).astype(np.float32)
