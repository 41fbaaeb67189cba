"""The registered architectures with their input scaling, and users' own, given by a dotted path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import Field

from fedrobust.lazy import keras
from fedrobust.models.architecture import Architecture, ModelError
from fedrobust.models.input_scaling import to_imagenet_bgr, to_imagenet_unit, to_minus_one_and_one
from fedrobust.models.keras_applications import NAMES, PREFIX, is_keras_application, keras_application
from fedrobust.models.network_file import is_network_file
from fedrobust.models.own_network import own_features
from fedrobust.models.preparation import Shape
from fedrobust.registry import Registry, UnknownNameError, known_as
from fedrobust.spec import Spec, SpecError, build

ARCHITECTURES = Registry("model")

Filters = Annotated[int, Field(ge=1, le=1024, description="a whole number from 1 to 1024")]


@ARCHITECTURES.register("edge-cnn")
@dataclass(frozen=True, kw_only=True)
class EdgeCNN:
    """this project's student network for edge devices: three 3 x 3 convolutions, 94 k parameters at width 32.

    Attributes:
        width: filters of the first convolution; the other two have twice and four times as many.
    """

    width: Filters = 32

    def architecture(self) -> Architecture:
        """Return the architecture."""
        return _small(self.features, smallest=16, summary=f"edge-cnn of width {self.width}")

    def features(self, shape: Shape) -> keras.Model:
        """Return the network from scaled images of `shape` to one vector of 4 `width` numbers an image."""
        inputs = x = keras.Input(shape)
        stages = ((self.width, 1), (2 * self.width, 2), (4 * self.width, 2))
        for stage, (filters, strides) in enumerate(stages, start=1):
            x = keras.layers.Conv2D(
                filters, 3, strides, padding="same", use_bias=False, name=f"stage{stage}_convolution"
            )(x)
            x = keras.layers.BatchNormalization(name=f"stage{stage}_batchnorm")(x)
            x = keras.layers.ReLU(name=f"stage{stage}_relu")(x)
            if stage == 1:
                x = keras.layers.MaxPooling2D(name=f"stage{stage}_pool")(x)
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        return keras.Model(inputs, x, name="edge-cnn")


@ARCHITECTURES.register("strided-cnn")
@dataclass(frozen=True, kw_only=True)
class StridedCNN:
    """this project's surrogate network of transfer attacks: two strided 3 x 3 convolutions and a dense layer.

    Attributes:
        width: filters of the first convolution; the second has twice as many.
    """

    width: Filters = 32

    def architecture(self) -> Architecture:
        """Return the architecture."""
        return _small(self.features, smallest=4, summary=f"strided-cnn of width {self.width}")

    def features(self, shape: Shape) -> keras.Model:
        """Return the network from scaled images of `shape` to one vector an image."""
        inputs = x = keras.Input(shape)
        for stage, filters in enumerate((self.width, 2 * self.width), start=1):
            x = keras.layers.Conv2D(
                filters, 3, 2, padding="same", activation="relu", name=f"stage{stage}_convolution"
            )(x)
        return keras.Model(inputs, keras.layers.Flatten(name="flat")(x), name="strided-cnn")


def _small(features: Callable[[Shape], keras.Model], smallest: int, summary: str) -> Architecture:
    return Architecture(
        features, to_minus_one_and_one, smallest, channels="native", imagenet="", summary=summary
    )


ARCHITECTURES.register("mobilenetv2")(
    Architecture(
        features=keras_application("keras:MobileNetV2").features,
        scale=to_minus_one_and_one,
        smallest=32,
        channels=3,
        imagenet="MobileNetV2",
        summary="MobileNetV2, 2.3 M parameters (Sandler et al., 2018, arXiv:1801.04381)",
    )
)
ARCHITECTURES.register("densenet121")(
    Architecture(
        features=keras_application("keras:DenseNet121").features,
        scale=to_imagenet_unit,
        smallest=32,
        channels=3,
        imagenet="DenseNet121",
        summary="DenseNet121, 7.0 M parameters (Huang et al., 2017, arXiv:1608.06993)",
    )
)
ARCHITECTURES.register("resnet50")(
    Architecture(
        features=keras_application("keras:ResNet50").features,
        scale=to_imagenet_bgr,
        smallest=32,
        channels=3,
        imagenet="ResNet50",
        summary="ResNet50, 23.6 M parameters (He et al., 2015, arXiv:1512.03385)",
    )
)


def architecture_named(name: str) -> Architecture:
    """Return a registered architecture, with settings as in ``"edge-cnn(width=16)"``, a dotted path's, or a file's.

    The path names an `Architecture`, a dataclass of settings with a method ``architecture()``, or a function
    ``(height, width, channels) -> keras.Model`` from images to one feature vector an image, to which a dense layer of
    logits is added. The model takes images in [0, 1], or in the range that its own Rescaling and Normalization layers
    imply. A function of one argument gets the three numbers as a tuple; settings are passed to it as arguments, as in
    ``"my.models:build(width=16)"``. Such a model takes the data's number of channels.

    A name that ends in ``.keras`` is that of a file, see `file_architecture`; one like ``"keras:EfficientNetV2B0"``
    that of a backbone of ``keras.applications``, see `keras_application`.

    Raises:
        UnknownNameError: there is no such name or path.
        SpecError: it does not take these settings.
        ModelError: the path names something else, or the file's network cannot be used.
    """
    if is_network_file(name):
        # Reads HDF5.
        from fedrobust.models.file_network import file_architecture

        return file_architecture(name)
    if is_keras_application(name):
        return keras_application(name)
    spec = Spec.parse(name)
    if spec.name not in ARCHITECTURES and (meant := known_as(f"{PREFIX}{spec.name}", NAMES)):
        raise UnknownNameError(f'{name!r} is no model, did you mean "{meant}"?')
    found = ARCHITECTURES[spec.name]
    if isinstance(found, Architecture):
        if spec.settings:
            raise SpecError(f"{name}: {spec.name} has no settings")
        return found
    if hasattr(found, "architecture"):
        made: Architecture = build(ARCHITECTURES, name).architecture()
        return made
    if not callable(found):
        raise ModelError(
            f'model.name = "{name}": neither an Architecture nor a function that builds a Keras model'
        )
    about = (found.__doc__ or name).strip().splitlines()[0]
    return Architecture(
        own_features(name, partial(found, **spec.settings) if spec.settings else found),
        scale=None,
        smallest=1,
        channels="native",
        imagenet="",
        summary=about,
    )
