"""The contract of augmentations, and their registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fedrobust.lazy import tf
from fedrobust.registry import Registry

AUGMENTATIONS = Registry("augmentation", "fedrobust.training.augmentations")


class Augmentation(Protocol):
    """A frozen dataclass of settings that is called inside the graph.

    With the class attribute ``mixes_labels = True`` its targets are probabilities.
    """

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the transformed images and targets.

        Args:
            images: (n, height, width, channels) float32 in [0, 1].
            targets: (n,) int32 labels, or (n, classes) float32 probabilities.
            seed: (2,) int32 of this step and augmentation, for TensorFlow's stateless generators.
        """
        ...


def mixes_labels(augmentations: Sequence[Augmentation]) -> bool:
    """Return whether one of `augmentations` needs probabilities as targets."""
    return any(getattr(augmentation, "mixes_labels", False) for augmentation in augmentations)


def augmented(
    augmentations: Sequence[Augmentation], images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images and targets after all `augmentations`, in order.

    Args:
        augmentations: in the order in which they are applied.
        images: (n, height, width, channels) float32 in [0, 1].
        targets: (n,) int32 labels, or (n, classes) float32 probabilities.
        seed: (2,) int32 of the step, from which each augmentation's seed is derived.
    """
    for place, augmentation in enumerate(augmentations):
        images, targets = augmentation(images, targets, tf.random.fold_in(seed, place + 1))
    return images, targets


def uniform(seed: tf.Tensor, draw: int, shape: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Return uniform float32 numbers of `shape` in [`low`, `high`); `draw` distinguishes draws with one seed."""
    return tf.random.stateless_uniform(shape, tf.random.fold_in(seed, draw), low, high)
