"""The backbones of ``keras.applications`` by name, ``"keras:EfficientNetV2B0"``: input scaling and smallest image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fedrobust.lazy import keras
from fedrobust.models.architecture import Architecture
from fedrobust.models.input_scaling import (
    to_halves_of_8_bit,
    to_imagenet_bgr,
    to_imagenet_unit,
    to_minus_one_and_one,
)
from fedrobust.models.preparation import Shape
from fedrobust.registry import UnknownNameError, did_you_mean, known_as

PREFIX = "keras:"


@dataclass(frozen=True)
class Backbones:
    """Networks of ``keras.applications`` with the same input.

    Attributes:
        names: of the functions that build them.
        scale: ``(images in [0, 1]) -> scaled images``, as their ImageNet weights expect.
        smallest: the smallest image side in pixels.
        optional: whether Keras' own scaling layers can be left out by ``include_preprocessing=False``.
        inside: whether they begin with scaling layers that cannot be left out: these are replaced by identities.
    """

    names: tuple[str, ...]
    scale: Callable[[Any], Any]
    smallest: int = 32
    optional: bool = False
    inside: bool = False


BACKBONES = (
    Backbones(("DenseNet121", "DenseNet169", "DenseNet201"), to_imagenet_unit),
    Backbones(("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"), to_imagenet_bgr),
    Backbones(
        (
            "MobileNet",
            "MobileNetV2",
            "NASNetMobile",
            "NASNetLarge",
            "ResNet50V2",
            "ResNet101V2",
            "ResNet152V2",
        ),
        to_minus_one_and_one,
    ),
    Backbones(("InceptionV3", "InceptionResNetV2"), to_minus_one_and_one, smallest=75),
    Backbones(("Xception",), to_minus_one_and_one, smallest=71),
    Backbones(("MobileNetV3Small", "MobileNetV3Large"), to_minus_one_and_one, optional=True),
    Backbones(tuple(f"EfficientNetB{size}" for size in range(8)), to_imagenet_unit, inside=True),
    Backbones(tuple(f"EfficientNetV2B{size}" for size in range(4)), to_imagenet_unit, optional=True),
    Backbones(tuple(f"EfficientNetV2{size}" for size in "SML"), to_halves_of_8_bit, optional=True),
    Backbones(
        tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        to_imagenet_unit,
        optional=True,
    ),
)
"""All of ``keras.applications``; scalings are those of each module's ``preprocess_input``, or of its own layers."""

NAMES = tuple(f"{PREFIX}{name}" for family in BACKBONES for name in family.names)


def is_keras_application(name: str) -> bool:
    """Return whether a study's name of a network is one of ``keras.applications``.

    Example:
        >>> is_keras_application("keras:EfficientNetV2B0"), is_keras_application("my.models:build")
        (True, False)
    """
    return name.lower().startswith(PREFIX)


def keras_application(name: str) -> Architecture:
    """Return a backbone of ``keras.applications`` as an architecture.

    Args:
        name: such as ``"keras:EfficientNetV2B0"``.

    Raises:
        UnknownNameError: there is none of this name.

    Example:
        >>> keras_application("keras:efficientnetv2b0").imagenet
        'EfficientNetV2B0'
        >>> keras_application("keras:EficientNetB0")
        Traceback (most recent call last):
        fedrobust.registry.UnknownNameError: 'keras:EficientNetB0' is no backbone of keras.applications, did you mean \
"EfficientNetB0"?
    """
    known = known_as(name, NAMES)
    if known is None:
        bare = [each.removeprefix(PREFIX) for each in NAMES]
        hint = did_you_mean(name[len(PREFIX) :], bare) or f"; choose one of {', '.join(bare)}"
        raise UnknownNameError(f"{name[:80]!r} is no backbone of keras.applications{hint}")
    found = known.removeprefix(PREFIX)
    family = next(each for each in BACKBONES if found in each.names)

    def original(shape: Shape) -> keras.Model:
        settings = {"include_preprocessing": False} if family.optional else {}
        build = getattr(keras.applications, found)
        return build(include_top=False, weights=None, input_shape=shape, pooling="avg", **settings)

    def features(shape: Shape) -> keras.Model:
        return _without_scaling(original(shape)) if family.inside else original(shape)

    summary = f"{found} of keras.applications"
    return Architecture(features, family.scale, family.smallest, 3, found, summary, original)


def _without_scaling(model: keras.Model) -> keras.Model:
    """Return a model whose scaling layers are identities, with arbitrary weights."""

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            return keras.layers.Identity(name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=replaced)
