"""A fitted network from images to images, as a prediction-time defence."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.lazy import keras, tf
from fedrobust.memoize import part

NAME = "defence"
"""Name of the network in the Keras file."""

Shape = tuple[int, int, int]

SLOPE = 0.2
"""Of the leaky rectifiers."""


@dataclass(frozen=True, eq=False)
class Cleaner:
    """A fitted network that cleans images before the classifier; its own gradient serves attacks.

    Attributes:
        network: Keras model of Keras' own layers, from images in [0, 1] to images in [0, 1] of the same shape.
    """

    network: Any

    @part
    def digest(self) -> str:
        """SHA-256 of its weights, as hex."""
        sha = hashlib.sha256()
        for array in self.network.get_weights():
            sha.update(np.ascontiguousarray(array, "<f4").tobytes())
        return sha.hexdigest()

    def __call__(self, images: Any) -> Any:
        """Return the cleaned images."""
        return self.network(images)


def bottleneck_network(shape: Shape, width: int, seed: int) -> Any:
    """Return a network that reconstructs images from half their height and width.

    It has no BatchNorm, so that each image is cleaned alone and few images suffice to fit it.

    Args:
        shape: (height, width, channels).
        width: channels after the first convolution; the second has twice as many.
        seed: of the weights.

    Example:
        >>> bottleneck_network((30, 17, 1), width=4, seed=0).output_shape
        (None, 30, 17, 1)
    """
    height, across, channels = shape
    inputs = keras.Input(shape)
    draw = iter(range(seed, seed + 9))
    x = leaky(convolution(width, next(draw))(inputs))
    # One halving: with two, images of 28 pixels came back with more than twice the squared error.
    x = leaky(convolution(2 * width, next(draw), 2)(x))
    x = leaky(convolution(2 * width, next(draw))(x))
    x = leaky(transposed(width, next(draw))(x))
    # Strided sides are rounded up.
    x = keras.layers.Cropping2D(((0, int(x.shape[1]) - height), (0, int(x.shape[2]) - across)))(x)
    x = keras.layers.Activation("sigmoid")(convolution(channels, next(draw))(x))
    return keras.Model(inputs, x, name=NAME)


def residual_network(shape: Shape, width: int, blocks: int, seed: int) -> Any:
    """Return a network that corrects images at full resolution, through residual blocks; at first it is the identity.

    Its outputs may leave [0, 1]: `clipped` keeps them inside.

    Args:
        shape: (height, width, channels).
        width: channels of its blocks.
        blocks: their number, with two convolutions each.
        seed: of the weights.

    Example:
        >>> image = np.random.default_rng(0).random((1, 6, 5, 3), np.float32)
        >>> bool((np.asarray(residual_network((6, 5, 3), 4, 1, seed=0)(image)) == image).all())
        True
    """
    inputs = keras.Input(shape)
    draw = iter(range(seed, seed + 2 * blocks + 2))
    x = leaky(convolution(width, next(draw))(inputs))
    for _ in range(blocks):
        change = convolution(width, next(draw))(leaky(convolution(width, next(draw))(x)))
        x = leaky(keras.layers.Add()([x, change]))
    correction = keras.layers.Conv2D(shape[2], 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model(inputs, keras.layers.Add()([inputs, correction]), name="correction")


def clipped(network: Any) -> Any:
    """Return a network from images to images with its outputs clipped to [0, 1]."""
    return keras.Model(network.inputs[0], keras.ops.clip(network.outputs[0], 0.0, 1.0), name=NAME)


def leaky(x: Any) -> Any:
    """Return the leaky rectifier of `x`."""
    return keras.layers.LeakyReLU(negative_slope=SLOPE)(x)


def convolution(filters: int, seed: int, strides: int = 1) -> Any:
    """Return a 3 x 3 convolution with seeded weights."""
    return keras.layers.Conv2D(filters, 3, strides, padding="same", kernel_initializer=initializer(seed))


def transposed(filters: int, seed: int) -> Any:
    """Return a 4 x 4 transposed convolution of stride 2 with seeded weights."""
    start = initializer(seed)
    return keras.layers.Conv2DTranspose(filters, 4, 2, padding="same", kernel_initializer=start)


def initializer(seed: int) -> Any:
    """Return He's initialiser with a seed."""
    return keras.initializers.HeNormal(seed=seed)


def minimise(
    network: Any,
    loss: Callable[..., Any],
    batches: Iterable[tuple[Any, ...]],
    learning_rate: float,
    momentum: float = 0.9,
) -> float:
    """Take one step of Adam for each batch, and return the last loss.

    Args:
        network: whose trainable variables are changed.
        loss: function of a batch's tensors to a number.
        batches: tuples of arrays.
        learning_rate: of Adam.
        momentum: Adam's beta 1.
    """
    step = stepper(network, loss, learning_rate, momentum)
    last = np.nan
    for batch in batches:
        last = float(step(*map(tf.constant, batch)))
    return last


def stepper(
    network: Any, loss: Callable[..., Any], learning_rate: float, momentum: float = 0.9
) -> Callable[..., Any]:
    """Return a compiled function that takes one step of Adam for a batch and returns its loss."""
    optimizer = keras.optimizers.Adam(learning_rate, beta_1=momentum)
    optimizer.build(network.trainable_variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(*batch: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(*batch)
        variables = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    return step
