"""The contract of adapters: models of other libraries as functions that describe themselves."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from fedrobust.errors import ConfigError
from fedrobust.models.preparation import Shape


class Adapter(ABC):
    """A model of another library as a function from images to logits or probabilities.

    Attributes:
        name: for messages and results.
        input_shape: (height, width, channels) of its images; None: as the data have them.
    """

    name: str
    input_shape: tuple[int | None, int | None, int | None]

    @abstractmethod
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs (n, classes) for `images` (n, height, width, channels) float32."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of the model as hex: results of attacks are stored by it."""

    def prepared(self, shape: Shape) -> Shape:
        """Return (height, width, channels) of the images that it is given for the data's of `shape`.

        Raises:
            ConfigError: it takes another number of channels, and the data's are not grey.
        """
        height, width, channels = (
            wanted or native for wanted, native in zip(self.input_shape, shape, strict=True)
        )
        if channels != shape[2] and (shape[2], channels) != (1, 3):
            raise ConfigError(
                f"{self.name}: it takes images of {channels} channels, the data have {shape[2]}; grey images are "
                "copied to three channels, others are not changed"
            )
        return height, width, channels

    @property
    def vjp(self) -> Any:
        """The vector-Jacobian products, see `fedrobust.evasion.models.predictor.Gradient`; None without a gradient."""
        return None
