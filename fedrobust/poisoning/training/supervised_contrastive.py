"""The contrastive half of Chameleon: a recipe that moves features, not logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import ClassNumber, Positive
from fedrobust.lazy import tf
from fedrobust.training.recipes.recipe import Batch, StepLoss


@dataclass(frozen=True, kw_only=True)
class SupervisedContrastive:
    """Pull features of images with equal labels together, and others apart (Khosla et al., 2020, arXiv:2004.11362).

    The loss of an anchor i is -1/|P(i)| times the sum over its positives p of log softmax of z_i . z_p / tau over all
    other images of the batch, with features z of length 1. An anchor of the target class counts `weight` times. Images
    are not augmented: a batch is its own second view, as in Chameleon's code.

    Attributes:
        target: the class whose anchors count more.
        weight: of these anchors.
        temperature: tau.
    """

    attacks: ClassVar[tuple[str, ...]] = ()
    one_class: ClassVar[bool] = True

    target: ClassNumber = 0
    weight: Positive = 2.0
    temperature: Positive = 0.07

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the mean loss of the anchors of `batch`."""
        features, logits, statistics = batch.encode(batch.images)
        losses = contrastive(features, batch.labels, self.temperature)
        weights = tf.where(batch.labels == self.target, self.weight, 1.0)
        return StepLoss(tf.reduce_mean(weights * losses), logits, statistics)


def contrastive(features: tf.Tensor, labels: tf.Tensor, temperature: float) -> tf.Tensor:
    """Return the loss of each anchor (n,), 0 where it has no positive.

    Args:
        features: (n, d), of any length.
        labels: (n,) int32.
        temperature: tau.

    Example:
        >>> one = tf.constant([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
        >>> losses = contrastive(one, tf.constant([0, 0, 1]), temperature=1.0).numpy()
        >>> [abs(round(float(loss), 3)) for loss in losses]
        [0.313, 0.313, 0.0]
    """
    unit = tf.math.l2_normalize(features, axis=1, epsilon=1e-12)
    alike = tf.matmul(unit, unit, transpose_b=True) / temperature
    itself = tf.eye(tf.shape(unit)[0], dtype=tf.bool)
    alike = tf.where(itself, -float("inf"), alike)
    log_shares = tf.where(itself, 0.0, alike - tf.reduce_logsumexp(alike, axis=1, keepdims=True))
    positives = tf.cast((labels[:, None] == labels[None]) & ~itself, tf.float32)
    count = tf.reduce_sum(positives, axis=1)
    return -tf.math.divide_no_nan(tf.reduce_sum(positives * log_shares, axis=1), count)
