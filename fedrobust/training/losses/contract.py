"""The contract of losses, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fedrobust.lazy import tf
from fedrobust.registry import Registry

LOSSES = Registry("loss", "fedrobust.training.losses")

Objective = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]
"""``(logits (n, classes), targets (n, ...)) -> losses (n,)``: a loss with the client's class shares filled in."""


class Loss(Protocol):
    """A frozen dataclass of settings that is called inside the graph.

    With the class attribute ``multilabel = True`` it is a loss of multi-label data, else of classes. A loss that fits
    the softmax of changed logits has a method ``adjusted(logits, prior)``; see `adjusted`. It is taken to use the
    client's class shares, unless its class attribute ``by_shares`` is False.
    """

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the loss of every image, (n,).

        Args:
            logits: (n, classes).
            targets: (n,) int32 labels, or (n, classes) float32 probabilities if an augmentation mixes labels; of a
                multi-label loss (n,) label sets, or (n, findings) float32.
            prior: (classes,) shares of the client's training images with each class or finding, 0 for absent ones.
        """
        ...


def uses_shares(loss: Loss) -> bool:
    """Return whether the loss of an image depends on the class shares of the client's other images."""
    changes = hasattr(loss, "adjusted") and getattr(loss, "by_shares", True)
    return bool(changes or getattr(loss, "balanced", False))


def adjusted(loss: Loss, logits: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
    """Return the logits (n, classes) whose softmax `loss` fits to the client's images: the same, or changed by it.

    A loss may add the client's class shares, or divide by a temperature. A recipe that compares predictions by their
    softmax compares these. The softmax of others can be that of a class without images at the client, whose logit the
    loss leaves free: then all images have the same prediction.
    """
    change = getattr(loss, "adjusted", None)
    return logits if change is None else change(logits, prior)


def without_shares(loss: Loss, logits: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
    """Return `adjusted` logits (n, classes) of a loss that does not use class shares, and `logits` of one that does.

    For a recipe whose formula has the model's own probabilities or logits, at the temperature at which they are fitted.
    """
    return logits if uses_shares(loss) else adjusted(loss, logits, prior)


def sparse_or_soft_cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy (n,) of `logits` against labels (n,) or probabilities (n, classes)."""
    if targets.shape.rank == 1:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def probabilities(targets: tf.Tensor, classes: int) -> tf.Tensor:
    """Return `targets` as probabilities (n, classes) float32: labels become one-hot rows."""
    return tf.one_hot(targets, classes) if targets.shape.rank == 1 else targets
