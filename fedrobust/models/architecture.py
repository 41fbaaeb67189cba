"""The contract of architectures: network, input scaling, smallest image, channels, ImageNet weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fedrobust.errors import FedrobustError
from fedrobust.lazy import keras
from fedrobust.models.preparation import Shape


class ModelError(FedrobustError, ValueError):
    """A model cannot be built as asked."""


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
        features: ``(prepared shape) -> keras.Model`` from scaled images to one feature vector an image.
        scale: ``(images in [0, 1]) -> scaled images``, as layers of the graph; None: the inverse of the network's own
            first scaling layers (`recognised_range`).
        smallest: the smallest image side in pixels.
        channels: 3 for colour images only, 1 for grey ones only, "native" for those of the data.
        imagenet: Keras' name of the ImageNet weights file, "" if there is none.
        summary: one line for `fedrobust list`.
        original: like `features`, with the layers that the ImageNet weights file has; None: `features` has them.
    """

    features: Callable[[Shape], keras.Model]
    scale: Callable[[Any], Any] | None
    smallest: int
    channels: Literal[1, 3, "native"]
    imagenet: str
    summary: str
    original: Callable[[Shape], keras.Model] | None = None
