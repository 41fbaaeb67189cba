"""The networks: from prepared images in [0, 1] to logits, each with the input scaling that it was made for."""

import inspect
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from fedrobust.errors import FedrobustError, first_line
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.convolution import DirectConv2D, DirectDepthwiseConv2D
from fedrobust.models.ending import ending
from fedrobust.models.input_format import UNIT
from fedrobust.models.keras_file import ModelFileError, check_finite
from fedrobust.models.preparation import Shape
from fedrobust.models.recognition import recognised_range
from fedrobust.registry import Registry

ARCHITECTURES = Registry("model")

Scaling = Literal["backbone", "unit"]


class ModelError(FedrobustError, ValueError):
    """A model cannot be built as asked."""


@dataclass(frozen=True)
class Architecture:
    """How one network is built.

    Attributes:
        features: ``(prepared shape) -> keras.Model`` from scaled images to one vector an image.
        scale: ``(images in [0, 1]) -> scaled images``, as layers of the graph; None: as the network's own first layers
            show (`recognised_range`).
        smallest: the smallest image side it takes.
        channels: 3 where only colour will do, "native" where the network follows the data.
        imagenet: Keras' name of the ImageNet weights file, "" where there is none.
        summary: one line for `fedrobust list`.
    """

    features: Callable[[Shape], keras.Model]
    scale: Callable[[Any], Any] | None
    smallest: int
    channels: Literal[3, "native"]
    imagenet: str
    summary: str


def _keras_application(name: str) -> Callable[[Shape], keras.Model]:
    def features(shape: Shape) -> keras.Model:
        build = getattr(keras.applications, name)
        return build(include_top=False, weights=None, input_shape=shape, pooling="avg")

    return features


def _to_minus_one_and_one(images: Any) -> Any:
    """Scale as the TensorFlow-trained networks want it: x / 127.5 - 1 of 8-bit values."""
    return keras.layers.Rescaling(2.0, -1.0, name="scale")(images)


def _to_imagenet_unit(images: Any) -> Any:
    """Scale as the Torch-trained networks want it: minus ImageNet's mean, over its deviation, per channel."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    layer = keras.layers.Rescaling((1.0 / deviation).tolist(), (-mean / deviation).tolist(), name="scale")
    return layer(images)


def _to_imagenet_bgr(images: Any) -> Any:
    """Scale as the Caffe-trained networks want it: 8-bit blue, green, red minus ImageNet's means."""
    blue_green_red = keras.ops.flip(images, axis=-1)
    return keras.layers.Rescaling(255.0, [-103.939, -116.779, -123.68], name="scale")(blue_green_red)


def _edge_cnn_features(shape: Shape) -> keras.Model:
    inputs = x = keras.Input(shape)
    for stage, (filters, strides) in enumerate(((32, 1), (64, 2), (128, 2)), start=1):
        x = keras.layers.Conv2D(
            filters, 3, strides, padding="same", use_bias=False, name=f"stage{stage}_convolution"
        )(x)
        x = keras.layers.BatchNormalization(name=f"stage{stage}_batchnorm")(x)
        x = keras.layers.ReLU(name=f"stage{stage}_relu")(x)
        if stage == 1:
            x = keras.layers.MaxPooling2D(name=f"stage{stage}_pool")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, x, name="edge-cnn")


def _strided_cnn_features(shape: Shape) -> keras.Model:
    inputs = x = keras.Input(shape)
    for stage, filters in enumerate((32, 64), start=1):
        x = keras.layers.Conv2D(
            filters, 3, 2, padding="same", activation="relu", name=f"stage{stage}_convolution"
        )(x)
    return keras.Model(inputs, keras.layers.Flatten(name="flat")(x), name="strided-cnn")


ARCHITECTURES.register("mobilenetv2")(
    Architecture(
        features=_keras_application("MobileNetV2"),
        scale=_to_minus_one_and_one,
        smallest=32,
        channels=3,
        imagenet="MobileNetV2",
        summary="MobileNetV2, 2.3 M parameters (Sandler et al., 2018, arXiv:1801.04381)",
    )
)
ARCHITECTURES.register("densenet121")(
    Architecture(
        features=_keras_application("DenseNet121"),
        scale=_to_imagenet_unit,
        smallest=32,
        channels=3,
        imagenet="DenseNet121",
        summary="DenseNet121, 7.0 M parameters (Huang et al., 2017, arXiv:1608.06993)",
    )
)
ARCHITECTURES.register("resnet50")(
    Architecture(
        features=_keras_application("ResNet50"),
        scale=_to_imagenet_bgr,
        smallest=32,
        channels=3,
        imagenet="ResNet50",
        summary="ResNet50, 23.6 M parameters (He et al., 2015, arXiv:1512.03385)",
    )
)
ARCHITECTURES.register("edge-cnn")(
    Architecture(
        features=_edge_cnn_features,
        scale=_to_minus_one_and_one,
        smallest=16,
        channels="native",
        imagenet="",
        summary="student for edge devices: three 3 x 3 convolutions, 94 k parameters",
    )
)


ARCHITECTURES.register("strided-cnn")(
    Architecture(
        features=_strided_cnn_features,
        scale=_to_minus_one_and_one,
        smallest=4,
        channels="native",
        imagenet="",
        summary="surrogate for attacks: two strided 3 x 3 convolutions, every place with weights of its own",
    )
)


def architecture_named(name: str) -> Architecture:
    """Return a registered architecture, or the one behind a dotted path.

    The path may lead to an `Architecture`, or to a function ``(height, width, channels) -> keras.Model`` from images
    to one vector an image; the logits are put on top of it. It is given images in [0, 1], or in the range that its own
    Rescaling and Normalization layers show. A function of one argument gets the three in a tuple. Such a model follows
    the data's channels.

    Raises:
        UnknownNameError: there is no such name or path.
        ModelError: the path leads to something else.
    """
    found = ARCHITECTURES[name]
    if isinstance(found, Architecture):
        return found
    if not callable(found):
        raise ModelError(
            f'model.name = "{name}": neither an Architecture nor a function that builds a Keras model'
        )
    about = (found.__doc__ or name).strip().splitlines()[0]
    return Architecture(
        own_features(name, found),
        scale=None,
        smallest=1,
        channels="native",
        imagenet="",
        summary=about,
    )


def own_features(name: str, build: Callable[..., Any]) -> Callable[[Shape], keras.Model]:
    """Return a user's function as one that takes a prepared shape, and whose model is known to be one of features.

    Args:
        name: its dotted path, for messages.
        build: ``(height, width, channels) -> keras.Model``, or ``((height, width, channels)) -> keras.Model``.
    """

    def features(shape: Shape) -> keras.Model:
        arguments = shape if takes_three(build) else (shape,)
        try:
            model = build(*arguments)
        except (Exception, SystemExit) as error:  # whatever a user's own code does
            raise ModelError(
                f'model "{name}": building it for images of {shape} ends in {type(error).__name__}: '
                f"{first_line(error)}; it is called as build(height, width, channels)"
            ) from error
        return checked_features(name, model, shape)

    return features


def takes_three(build: Callable[..., Any]) -> bool:
    """Return whether a function is to be called with height, width and channels, and not with a tuple of them.

    Example:
        >>> takes_three(lambda height, width, channels: None), takes_three(lambda shape, filters=8, depth=2: None)
        (True, False)
    """
    try:
        parameters = list(inspect.signature(build).parameters.values())
    except (TypeError, ValueError):  # written in C, or no function at all
        return True
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if any(each.kind == each.VAR_POSITIONAL for each in parameters):
        return len(places) != 1
    needed = [each for each in places if each.default is each.empty]
    return len(needed) > 1 or (len(places) >= 3 and places[0].name == "height")


def checked_features(name: str, model: Any, shape: Shape) -> keras.Model:
    """Return a user's model, known to go from one batch of images to one vector an image.

    Raises:
        ModelError: it does not, or ends in probabilities.
    """
    wanted = f"wanted: a keras.Model from images {(None, *shape)} to one vector an image"
    if not isinstance(model, keras.Model):
        raise ModelError(f'model "{name}": it returned {type(model).__name__}; {wanted}')
    try:
        inputs, outputs = model.inputs, model.outputs
        taken, given = [tuple(each.shape) for each in inputs], [tuple(each.shape) for each in outputs]
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            f'model "{name}": a model that shows nothing of its layers; build it with keras.Input and keras.Model'
        ) from error
    if len(taken) != 1 or taken[0][1:] != tuple(shape):
        raise ModelError(f'model "{name}": it takes {taken}; {wanted}')
    if not keras.backend.is_float_dtype(inputs[0].dtype):
        raise ModelError(
            f'model "{name}": it takes images of {inputs[0].dtype}, which have no gradient; build it with '
            'keras.Input(..., dtype="float32")'
        )
    if len(given) != 1 or len(given[0]) != 2 or given[0][1] is None:
        raise ModelError(
            f'model "{name}": it returns {given}; {wanted}: end it with keras.layers.GlobalAveragePooling2D or Flatten'
        )
    end = ending(model)
    if end == "softmax" or (end == "sigmoid" and given[0][1] == 1):
        raise ModelError(
            f'model "{name}": it ends in {end}, in probabilities of classes; {wanted}: leave the classification layer '
            "out, the logits are put on top of the features"
        )
    states = [variable for variable in model.variables if str(variable.dtype) != "float32"]
    if states:
        raise ModelError(
            f'model "{name}": {states[0].path} is a state of {states[0].dtype} numbers, such as the random generator '
            "of a Dropout layer: clients exchange float32 weights and statistics alone; leave that layer out"
        )
    return _with_free_batch(name, model, shape) if taken[0][0] is not None else model


def _with_free_batch(name: str, model: keras.Model, shape: Shape) -> keras.Model:
    """Return a model that was built for a fixed number of images as one for any number."""
    try:
        return keras.models.clone_model(model, input_tensors=keras.Input(shape))
    except Exception as error:  # whatever its layers raise
        raise ModelError(
            f'model "{name}": it takes exactly {model.inputs[0].shape[0]} images at a time ({first_line(error)}); '
            "build it with keras.Input((height, width, channels))"
        ) from error


def keras_name(name: str) -> str:
    """Return a name that Keras and TensorFlow's graphs take, for a registered one or a dotted path.

    Example:
        >>> keras_name("edge-cnn"), keras_name("my.models:build")
        ('edge-cnn', 'my.models_build')
    """
    return re.sub(r"^[^A-Za-z0-9.]", "x", re.sub(r"[^A-Za-z0-9_.-]", "_", name)) or "model"


FASTER = {
    keras.layers.Conv2D: DirectConv2D,
    keras.layers.DepthwiseConv2D: DirectDepthwiseConv2D,
}
"""Keras' layers, and what computes the same numbers in less time."""


def build_network(
    name: str, prepared: Shape, classes: int, seed: int, momentum: float, scaling: Scaling = "backbone"
) -> keras.Model:
    """Build the network `name` from prepared images to logits, with seeded random weights.

    Args:
        name: a registered architecture.
        prepared: (height, width, channels) of its input.
        classes: how many logits, at least 2.
        seed: seeds every initializer, each with a number of its own.
        momentum: of every BatchNorm layer: the share of the old moving statistics that a step keeps.
        scaling: "backbone" scales images as the network's pretrained weights expect; "unit" leaves them in [0, 1].

    Raises:
        ModelError: an image side is too small, or there are fewer than two classes.
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
    features = architecture.features(prepared)
    draw = np.random.default_rng(seed)

    def rebuilt(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = seeded_config(layer.get_config(), draw)
        # TensorFlow's graphs, which the export goes through, refuse names that Keras takes.
        config["name"] = keras_name(str(config["name"]))
        if isinstance(layer, keras.layers.BatchNormalization):
            return FusedBatchNormalization.from_config({**config, "momentum": momentum})
        # Exactly Keras' layers: what inherits from them may compute something else.
        return FASTER.get(layer.__class__, layer.__class__).from_config(config)

    # Keras' own models draw from a global generator and fix the momentum: rebuild their layers with ours.
    backbone = _rebuilt(name, features, rebuilt)
    head = keras.layers.Dense.from_config(
        seeded_config(keras.layers.Dense(classes, name="logits").get_config(), draw)
    )
    scale = architecture.scale or shown_scale(features)
    scaled = scale(inputs) if scaling == "backbone" else inputs
    return keras.Model(inputs, head(backbone(scaled)), name=keras_name(name))


def shown_scale(features: keras.Model) -> Callable[[Any], Any]:
    """Return what brings images in [0, 1] to the range that a user's network scales by itself.

    Example:
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255)])
        >>> float(keras.ops.max(shown_scale(network)(np.ones((1, 8, 8, 1)))))
        255.0
    """
    shown = recognised_range(features) or UNIT
    if shown == UNIT:
        return lambda images: images
    return lambda images: keras.layers.Rescaling(shown.high - shown.low, shown.low, name="scale")(images)


def _rebuilt(
    name: str, features: keras.Model, rebuilt: Callable[[keras.layers.Layer], keras.layers.Layer]
) -> keras.Model:
    try:
        return keras.models.clone_model(features, clone_function=rebuilt)
    except Exception as error:  # whatever a user's own layers raise
        raise ModelError(
            f'model "{name}": its layers cannot be built anew from what get_config returns: {first_line(error)}'
        ) from error


def seeded_config(config: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """Return a layer's configuration with a seed of its own in every initializer that has one."""
    seeded = dict(config)
    for key, value in config.items():
        if key.endswith("_initializer") and isinstance(value, dict) and "seed" in value.get("config", {}):
            seeded[key] = {**value, "config": {**value["config"], "seed": int(draw.integers(2**31))}}
    return seeded


def load_backbone_weights(network: keras.Model, name: str, weights: str, path: Path | None) -> None:
    """Put pretrained weights into the backbone of `network`; its head keeps its random ones.

    Args:
        network: from `build_network`.
        name: its architecture.
        weights: "imagenet" or the path as the user wrote it, for messages.
        path: the file for anything but "imagenet": Keras 3 weights of the backbone without its top.

    Raises:
        ModelError: there are no such weights, they cannot be had, or they do not fit.
    """
    architecture = architecture_named(name)
    backbone = next(layer for layer in network.layers if isinstance(layer, keras.Model))
    if weights == "imagenet":
        pretrained = _download_imagenet(name, architecture)
    else:
        # A weights file names Keras' own layer classes, which the rebuilt backbone no longer has.
        pretrained = architecture.features(backbone.input_shape[1:])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # a line for every layer that is missing; the error says it in one
                pretrained.load_weights(path)
            check_finite(pretrained, f"model.weights = {weights!r}: {path}")
        except ModelFileError:
            raise
        except Exception as error:  # no weights, others, damaged ones: Keras raises many kinds
            raise ModelError(
                f"model.weights = {weights!r}: {path} does not hold weights of {name} without its top: "
                f"{first_line(error)}"
            ) from error
    backbone.set_weights(pretrained.get_weights())


def _download_imagenet(name: str, architecture: Architecture) -> keras.Model:
    if not architecture.imagenet:
        raise ModelError(f'model.weights = "imagenet": {name} has none; choose "random" or a file')
    build = getattr(keras.applications, architecture.imagenet)
    try:
        return build(include_top=False, weights="imagenet", input_shape=(224, 224, 3), pooling="avg")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ModelError(
            f'model.weights = "imagenet": the weights of {name} could not be downloaded ({error}). '
            "Offline, give the path of a weights file, or put Keras' file into ~/.keras/models"
        ) from error
