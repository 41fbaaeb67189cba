"""Images and targets of a local update, as tensors."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class TrainingData:
    """Images and targets as tensors, shared by all clients of a process.

    Attributes:
        images: (n, height, width, channels) uint8.
        targets: (n,) int32 labels, or (n, classes) float32 logits of a teacher.
    """

    images: tf.Tensor
    targets: tf.Tensor

    @classmethod
    def of(cls, images: np.ndarray, targets: np.ndarray) -> "TrainingData":
        """Copy arrays into tensors."""
        return cls(tf.constant(images, tf.uint8), tf.constant(targets))
