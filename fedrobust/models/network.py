"""Build a network from prepared images to logits, with seeded initialisers."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from fedrobust.errors import first_line
from fedrobust.models.architecture import Architecture, ModelError
from fedrobust.models.architectures import architecture_named
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.convolution import DirectConv2D, DirectDepthwiseConv2D
from fedrobust.models.dropout import without_state
from fedrobust.models.group_norm import group_normalization
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.layers import inner_layers
from fedrobust.models.naming import Normalization, Scaling, keras_name
from fedrobust.models.preparation import Shape
from fedrobust.models.recognition import recognised_range
from fedrobust.models.twice_differentiable import EXACT, exact_within

REPLACED = {
    keras.layers.Conv2D: DirectConv2D,
    keras.layers.DepthwiseConv2D: DirectDepthwiseConv2D,
    **EXACT,
}
"""Keras' layers, and this project's with the same results: faster ones, and ones with right second derivatives."""


def build_network(
    name: str,
    prepared: Shape,
    classes: int,
    seed: int,
    momentum: float,
    scaling: Scaling = "backbone",
    normalization: Normalization = "batch",
) -> keras.Model:
    """Build the network `name` from prepared images to logits, with seeded random weights.

    Args:
        name: a registered architecture.
        prepared: (height, width, channels) of its input.
        classes: number of classes, at least 2.
        seed: of all initialisers, from which each gets its own.
        momentum: of every BatchNorm layer: weight of the previous moving statistics in a step.
        scaling: "backbone" scales images as the network's pretrained weights expect; "unit" leaves them in [0, 1]; or
            an input format such as "0..255".
        normalization: "group" replaces every BatchNorm by GroupNorm; the random weights are the same.
            "frozen" has BatchNorm normalise by its moving statistics in training, too, and leave them as they are.

    Raises:
        ModelError: the images are too small, there are fewer than two classes, or no BatchNorm to replace.
    """
    architecture = architecture_named(name)
    if min(prepared[:2]) < architecture.smallest:
        raise ModelError(
            f"image-size = {min(prepared[:2])}: {name} takes images from {architecture.smallest} pixels up; "
            f"set image-size to {architecture.smallest} or more (images are resized inside the model)"
        )
    if classes < 2:
        raise ModelError(f"{classes} classes: a model has one logit a class, never fewer than two")
    inputs = keras.Input(prepared, name="prepared")
    features = _features(architecture, prepared)
    draw = np.random.default_rng(seed)

    def rebuilt(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = seeded_config(layer.get_config(), draw)
        # Names must be valid in TensorFlow's graphs, which the export uses; Keras allows more.
        config["name"] = keras_name(str(config["name"]))
        if isinstance(layer, keras.layers.BatchNormalization):
            if normalization == "group":
                return group_normalization(layer, config["name"])
            measures = normalization != "frozen"
            return FusedBatchNormalization.from_config({**config, "momentum": momentum, "measures": measures})
        if (dropout := without_state(layer, config["name"])) is not None:
            return dropout
        # Only Keras' own classes are replaced: subclasses may compute something else.
        made = REPLACED.get(layer.__class__, layer.__class__).from_config(config)
        return exact_within(made) if isinstance(made, keras.Model) else made

    # Keras' applications use a global random generator and a fixed momentum: their layers are rebuilt.
    backbone = _rebuilt(name, features, rebuilt)
    if normalization == "group" and not _is_all_group_norm(backbone):
        raise ModelError(
            f'model.normalization = "group": {name} has no BatchNorm layer, or has it in a model within it, where it '
            'cannot be replaced; choose "batch"'
        )
    head = keras.layers.Dense.from_config(
        seeded_config(keras.layers.Dense(classes, name="logits").get_config(), draw)
    )
    scale = _scale(scaling) if scaling != "backbone" else architecture.scale or shown_scale(features)
    return keras.Model(inputs, head(backbone(scale(inputs))), name=keras_name(name))


def _scale(scaling: str) -> Callable[[Any], Any]:
    """Return the function from images in [0, 1] to a declared input, as layers of the graph.

    Example:
        >>> scale = _scale("-1..1, mean=0.5, std=0.25")
        >>> float(keras.ops.max(scale(np.ones((1, 8, 8, 1), np.float32))))
        2.0
    """
    if scaling == "unit":
        return lambda images: images
    given = InputFormat.parse(scaling, "model.scaling")
    mean, deviation = np.array(given.mean or [0.0]), np.array(given.std or [1.0])
    factor, shift = (given.high - given.low) / deviation, (given.low - mean) / deviation

    def scaled(images: Any) -> Any:
        given.check_channels(images.shape[-1], "the network")
        images = keras.ops.flip(images, axis=-1) if given.bgr else images
        of_all = [part.tolist() if len(part) > 1 else float(part[0]) for part in (factor, shift)]
        return keras.layers.Rescaling(*of_all, name="scale")(images)

    return scaled


def shown_scale(features: keras.Model) -> Callable[[Any], Any]:
    """Return the function from images in [0, 1] to the pixel range that a user's network scales itself.

    Example:
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255)])
        >>> float(keras.ops.max(shown_scale(network)(np.ones((1, 8, 8, 1)))))
        255.0
    """
    shown = recognised_range(features) or UNIT
    if shown == UNIT:
        return lambda images: images
    return lambda images: keras.layers.Rescaling(shown.high - shown.low, shown.low, name="scale")(images)


def _features(architecture: Architecture, prepared: Shape) -> keras.Model:
    """Return the network whose layers are built anew; Keras' own without values of its weights, which take time."""
    if not architecture.imagenet:
        return architecture.features(prepared)
    with keras.StatelessScope(initialize_variables=False):
        return architecture.features(prepared)


def _is_all_group_norm(backbone: keras.Model) -> bool:
    kinds = {type(layer) for layer in inner_layers(backbone)}
    left = any(issubclass(kind, keras.layers.BatchNormalization) for kind in kinds)
    return any(issubclass(kind, keras.layers.GroupNormalization) for kind in kinds) and not left


def _called(layer: keras.layers.Layer, *inputs: Any, **given: Any) -> Any:
    """Return ``layer(...)``, without the mask that a BatchNorm's call has and GroupNorm does not take."""
    if isinstance(layer, keras.layers.GroupNormalization):
        given.pop("mask", None)
    return layer(*inputs, **given)


def _rebuilt(
    name: str, features: keras.Model, rebuilt: Callable[[keras.layers.Layer], keras.layers.Layer]
) -> keras.Model:
    try:
        called = None if isinstance(features, keras.Sequential) else _called
        return keras.models.clone_model(features, clone_function=rebuilt, call_function=called)
    except Exception as error:  # raised by a user's own layers
        raise ModelError(
            f'model "{name}": its layers cannot be built anew from what get_config returns: {first_line(error)}'
        ) from error


def seeded_config(config: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """Return a layer's configuration with a new seed in every initialiser that has one."""
    seeded = dict(config)
    for key, value in config.items():
        if key.endswith("_initializer") and isinstance(value, dict) and "seed" in value.get("config", {}):
            seeded[key] = {**value, "config": {**value["config"], "seed": int(draw.integers(2**31))}}
    return seeded
