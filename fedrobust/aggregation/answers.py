"""What the server computes from models for the rules that ask them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Sent = tuple[np.ndarray, np.ndarray]
"""A model: its update (d,), and its BatchNorm statistics (s,)."""


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """How the server distils several models into one.

    Attributes:
        images: number of the server's images; 0: all.
        steps: of gradient descent.
        batch_size: images in a step.
        learning_rate: Adam's at the first step; it decays by a cosine.
        temperature: divides the logits.
    """

    images: int
    steps: int
    batch_size: int
    learning_rate: float
    temperature: float


class ModelAnswers(Protocol):
    """Answers of models that differ from the global one by an update; `server.model_answers` has the study's.

    Where the study recalibrates the global model's BatchNorm statistics, these models' are measured likewise in place
    of those given: a round of moving statistics says little about how the model behaves with its own.
    """

    def on_noise(self, update: np.ndarray, statistics: np.ndarray, images: int, seed: int) -> np.ndarray:
        """Return the probabilities (images, classes) of the model on uniform noise.

        Args:
            update: (d,), added to the global weights.
            statistics: (s,) the model's BatchNorm statistics.
            images: number of images of noise.
            seed: of the noise.
        """
        ...

    def class_losses(self, update: np.ndarray, statistics: np.ndarray, images: int) -> np.ndarray:
        """Return the model's mean loss on the server's images of each class, (classes,); NaN for classes without any.

        Args:
            update: (d,), added to the global weights.
            statistics: (s,) the model's BatchNorm statistics.
            images: number of the server's images.
        """
        ...

    def fused(self, models: Iterable[Sent], start: Sent, fusion: Fusion, round: int) -> np.ndarray:
        """Return the update (d,) of a model that is trained from `start` on the mean logits of `models`.

        Args:
            models: the teachers; asked one after the other.
            start: the model before.
            fusion: images, steps and temperature.
            round: from 1; it selects the order of images.
        """
        ...
