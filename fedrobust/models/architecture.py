"""What a network is to the rest: how it is built, how its input is scaled, and what it cannot take."""

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
