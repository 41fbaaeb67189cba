"""What the server computes from models for the rules that ask them."""

from typing import Protocol

import numpy as np


class ModelAnswers(Protocol):
    """Answers of models that differ from the global one by an update; `server.model_answers` has the study's."""

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
