"""A small network that draws a trigger for each image, and its gradient, as functions of a vector of weights."""

from functools import partial
from itertools import pairwise

import numpy as np
import tensorflow as tf

from fedrobust.graphs.function import GraphFunction

WIDTH = 16


class TriggerGenerator:
    """Three 3 x 3 convolutions, 16 channels wide, from an image to noise in [-1, 1] of the same shape.

    Args:
        channels: of the images.

    Example:
        >>> generator = TriggerGenerator(channels=1)
        >>> weights, images = generator.initial(seed=0), np.zeros((2, 28, 28, 1), np.float32)
        >>> generator.size, generator.noise(weights, images).shape
        (2625, (2, 28, 28, 1))
    """

    def __init__(self, channels: int):
        widths = [channels, WIDTH, WIDTH, channels]
        self.shapes = [shape for a, b in pairwise(widths) for shape in ((3, 3, a, b), (b,))]
        self.size = sum(int(np.prod(shape)) for shape in self.shapes)
        held = [
            tf.TensorSpec([self.size], tf.float32),
            tf.TensorSpec([None, None, None, channels], tf.float32),
        ]
        self._noise = GraphFunction(self._forward, held)
        self._gradient = GraphFunction(self._backward, [*held, held[1]])

    def initial(self, seed: int) -> np.ndarray:
        """Return random weights (size,) float32 (He et al., 2015, arXiv:1502.01852); biases are 0.

        The last kernel is a tenth as large: the first triggers are faint, and no tanh is saturated.
        """
        draw = np.random.default_rng([seed, 2303])
        parts = [
            np.zeros(shape) if len(shape) == 1 else draw.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape)
            for shape in self.shapes
        ]
        parts[-2] = 0.1 * parts[-2]
        return np.concatenate([part.ravel() for part in parts]).astype(np.float32)

    def noise(self, weights: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return noise in [-1, 1] for `images` (n, height, width, channels) float32 in [0, 1]."""
        found: np.ndarray = self._noise(tf.constant(weights), tf.constant(images)).numpy()
        return found

    def gradient(self, weights: np.ndarray, images: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the gradient by the weights (size,) of the sum of ``slope * noise``."""
        found: np.ndarray = self._gradient(
            tf.constant(weights), tf.constant(images), tf.constant(slope, tf.float32)
        ).numpy()
        return found

    def _forward(self, weights: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        arrays = [
            tf.reshape(part, shape) for part, shape in zip(tf.split(weights, sizes), self.shapes, strict=True)
        ]
        convolved, activations = images, (tf.nn.relu, tf.nn.relu, tf.nn.tanh)
        for kernel, bias, activation in zip(arrays[::2], arrays[1::2], activations, strict=True):
            convolve = partial(tf.nn.conv2d, strides=1, padding="SAME")
            convolved = activation(convolve(convolved, kernel) + bias)
        return convolved

    def _backward(self, weights: tf.Tensor, images: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            noise = self._forward(weights, images)
        return tape.gradient(noise, weights, output_gradients=slope)
