"""The contract of training recipes, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from fedrobust.lazy import tf
from fedrobust.registry import Registry
from fedrobust.training.losses.contract import Objective

RECIPES = Registry("training recipe", "fedrobust.training.recipes")


class Batch(NamedTuple):
    """One batch and the model, inside the graph.

    Attributes:
        images: (n, height, width, channels) float32 in [0, 1], in the space that the recipe perturbs.
        targets: (n,) int32 labels, or other targets of the loss.
        example_weights: (n,) factors of the images' losses.
        seed: (2,) int32 of this step, for TensorFlow's stateless generators.
        objective: function from logits and targets to losses (n,).
        infer: images to logits in inference mode, for crafting adversarial images.
        train: images to (logits, statistics) in training mode, with BatchNorm's statistics after the batch.
    """

    images: tf.Tensor
    targets: tf.Tensor
    example_weights: tf.Tensor
    seed: tf.Tensor
    objective: Objective
    infer: Callable[[tf.Tensor], tf.Tensor]
    train: Callable[[tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]]


class StepLoss(NamedTuple):
    """Result of a recipe: the loss () to minimise, the logits (n, classes), the new BatchNorm statistics."""

    loss: tf.Tensor
    logits: tf.Tensor
    statistics: list[tf.Tensor]


class Recipe(Protocol):
    """A frozen dataclass of settings that is called under a gradient tape that watches the weights."""

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the loss of `batch`."""
        ...


def weighted_mean(losses: tf.Tensor, example_weights: tf.Tensor) -> tf.Tensor:
    """Return sum(weight * loss) / n, as Keras reduces weighted losses."""
    return tf.reduce_mean(losses * example_weights)
