"""A model of any origin as one that takes native images in [0, 1] and returns logits, for export.

What builds Keras layers is imported inside of functions: Keras takes seconds to start.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedrobust.errors import ConfigError
from fedrobust.lazy import keras
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.preparation import Preparation


def exportable(
    model: Any, preparation: Preparation, format: InputFormat, output: str, labels: Sequence[int], name: str
) -> Any:
    """Return a Keras model from native images in [0, 1] to logits in the data's class order; `model` if it is one.

    Rounding to whole numbers is left out: 8-bit images have whole numbers already.

    Args:
        model: from images of its own size and input format to logits, with one or more output units.
        preparation: from native images to its size.
        format: from images in [0, 1] to its input.
        output: "logits", "unwrapped" or "probabilities".
        labels: the data's label of each output; empty: the data's order.
        name: for messages.

    Raises:
        ConfigError: its outputs are probabilities, whose logarithms int8 cannot express.
    """
    if output == "probabilities":
        raise ConfigError(
            f"{name}: its outputs are probabilities, and no last softmax could be removed: small ones vanish in int8; "
            "export a model that returns logits"
        )
    single = model.output_shape[1] == 1
    as_is = format == UNIT and not single and not labels
    if as_is and preparation.native == preparation.prepared == tuple(model.input_shape[1:]):
        return model
    # Starts Keras.
    from fedrobust.models.deployable import with_preparation

    inputs = keras.Input(preparation.prepared)
    logits = model(formatted(inputs, format, preparation.prepared[2]))
    if single:
        # As weights: zeros have no int8 form.
        both = keras.layers.Dense(2, use_bias=False)
        logits = both(logits)
        both.set_weights([np.array([[0.0, 1.0]], np.float32)])
    if labels:
        logits = keras.ops.take(logits, np.argsort(labels), axis=1)
    return with_preparation(keras.Model(inputs, logits, name="network"), preparation, None, "exported")


def formatted(images: Any, format: InputFormat, channels: int) -> Any:
    """Return images in [0, 1], a tensor of Keras, in another input format; see `InputFormat`."""
    if format.bgr:
        images = keras.ops.flip(images, axis=-1)
    mean, std = (
        np.broadcast_to(np.asarray(each or rest, np.float64), channels)
        for each, rest in ((format.mean, 0), (format.std, 1))
    )
    scale, offset = (format.high - format.low) / std, (format.low - mean) / std
    if not (np.allclose(scale, 1) and np.allclose(offset, 0)):
        # A layer that the export computes as a convolution; see `fedrobust.edge.rescaling`.
        images = keras.layers.Rescaling(scale.tolist(), offset.tolist())(images)
    return keras.layers.Permute((3, 1, 2))(images) if format.channels_first else images
