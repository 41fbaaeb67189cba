"""The scalings of images in [0, 1] that pretrained networks expect, as layers of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedrobust.lazy import keras


def to_minus_one_and_one(images: Any) -> Any:
    """Scale as Keras' ``mode="tf"``: x / 127.5 - 1 of 8-bit values."""
    return keras.layers.Rescaling(2.0, -1.0, name="scale")(images)


def to_imagenet_unit(images: Any) -> Any:
    """Scale as Keras' ``mode="torch"``: subtract ImageNet's mean and divide by its deviation, per channel."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    layer = keras.layers.Rescaling((1.0 / deviation).tolist(), (-mean / deviation).tolist(), name="scale")
    return layer(images)


def to_imagenet_bgr(images: Any) -> Any:
    """Scale as Keras' ``mode="caffe"``: 8-bit blue, green, red minus ImageNet's means."""
    blue_green_red = keras.ops.flip(images, axis=-1)
    return keras.layers.Rescaling(255.0, [-103.939, -116.779, -123.68], name="scale")(blue_green_red)


def to_halves_of_8_bit(images: Any) -> Any:
    """Scale as the larger EfficientNetV2: x / 128 - 1 of 8-bit values."""
    return keras.layers.Rescaling(255 / 128, -1.0, name="scale")(images)
