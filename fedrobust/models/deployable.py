"""The deployable Keras model: of Keras' own layers, from native images to logits."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from fedrobust.defences.contract import combined
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.convolution import DirectConv2D, DirectDepthwiseConv2D
from fedrobust.models.dropout import StatelessDropout
from fedrobust.models.preparation import Preparation
from fedrobust.models.twice_differentiable import EXACT

STOCK: tuple[tuple[Any, Any], ...] = (
    (keras.layers.BatchNormalization, FusedBatchNormalization),
    (keras.layers.Conv2D, DirectConv2D),
    (keras.layers.DepthwiseConv2D, DirectDepthwiseConv2D),
    *EXACT.items(),
)
"""This project's layers, and Keras' own that replace them in files."""


def stock_network(network: keras.Model) -> keras.Model:
    """Return `network` rebuilt from Keras' own layers, with arbitrary weights."""
    return keras.models.clone_model(network, clone_function=_stock, recursive=True)


def with_preparation(
    network: keras.Model, preparation: Preparation, defence: Callable[[Any], Any] | None, name: str
) -> keras.Model:
    """Return a Keras model that prepares native images in [0, 1] and calls `network`.

    Args:
        network: from prepared images to logits.
        preparation: from native images to prepared ones.
        defence: prediction-time defence, applied to native images first, and to the logits where it is a vote; None:
            none.
        name: of the model.
    """
    inputs = keras.Input(preparation.native, name="images")
    x = inputs if defence is None else defence(inputs)
    if preparation.replicates:
        x = keras.layers.Concatenate(name="grey_to_colour")([x, x, x])
    if preparation.shrinks:
        x = _shrunk(x, preparation)
    elif preparation.resizes:
        # Not keras.layers.Resizing: its call defaults to training=True, which puts the whole model into
        # training mode wherever the caller does not say (Keras 3.15).
        x = keras.ops.image.resize(x, preparation.prepared[:2])
    return keras.Model(inputs, combined(defence, network(x)), name=name)


def _stock(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(
        layer, StatelessDropout
    ):  # it changes nothing in inference, and Keras' own has a random state
        return keras.layers.Identity(name=layer.name)
    for stock, ours in STOCK:
        if isinstance(layer, ours):
            return stock.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())


def _shrunk(x: keras.KerasTensor, preparation: Preparation) -> keras.KerasTensor:
    """Return `x` downsampled with antialiasing, by one constant matrix over rows and one over columns.

    The result equals TensorFlow's antialiased resize, which LiteRT lacks.
    """
    for axis, name in ((1, "rows"), (2, "columns")):
        before, after = preparation.native[axis - 1], preparation.prepared[axis - 1]
        each_alone = tf.reshape(tf.eye(before), (before, before, 1, 1))
        matrix = tf.image.resize(each_alone, (after, 1), antialias=True)[:, :, 0, 0]
        resize = keras.layers.Dense(after, use_bias=False, trainable=False, name=f"resize_{name}")
        order = (3, 2, 1) if axis == 1 else (1, 3, 2)
        x = resize(keras.layers.Permute(order)(x))
        resize.kernel.assign(matrix)
        x = keras.layers.Permute(order)(x)
    return x
