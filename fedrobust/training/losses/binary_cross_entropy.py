"""Binary cross-entropy, the loss of multi-label data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Decay
from fedrobust.lazy import tf
from fedrobust.training.losses.contract import LOSSES


@LOSSES.register("binary-cross-entropy")
@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy:
    """Mean over findings of the sigmoids' cross-entropies, as in MedMNIST (Yang et al., 2023, arXiv:2110.14795).

    With `balanced`, images with and without a finding have the same weight in total at each client: n / 2 over their
    number (half the weights of Wang et al., 2017, arXiv:1705.02315, section 4.1). A finding that all or none of a
    client's images have keeps weight 1.

    Attributes:
        balanced: whether images with and without a finding have the same weight.
        label_smoothing: share of an answer that is moved to one half, in [0, 1).

    Example:
        >>> loss, even = BinaryCrossEntropy(), tf.constant([[0.0, 0.0]])
        >>> round(float(loss(even, tf.constant([[1.0, 0.0]]), tf.constant([0.5, 0.5]))[0]), 4)
        0.6931
    """

    multilabel: ClassVar[bool] = True

    balanced: bool = False
    label_smoothing: Decay = 0.0

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,).

        Args:
            logits: (n, findings).
            targets: label sets (n,) int32 (see `fedrobust.data.label_sets`), or (n, findings) in [0, 1].
            prior: (findings,) share of the client's images with each.
        """
        present = answers(targets, logits.shape[-1])
        smoothed = present + self.label_smoothing * (0.5 - present)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=smoothed, logits=logits)
        if self.balanced:
            both = (prior > 0) & (prior < 1)
            having = tf.where(both, 0.5 / tf.where(both, prior, 0.5), 1.0)
            lacking = tf.where(both, 0.5 / tf.where(both, 1.0 - prior, 0.5), 1.0)
            losses *= present * having + (1.0 - present) * lacking
        return tf.reduce_mean(losses, axis=-1)


def answers(targets: tf.Tensor, findings: int) -> tf.Tensor:
    """Return the right answers (n, findings) float32: label sets (n,) are unpacked."""
    if targets.shape.rank != 1:
        return targets
    bits = tf.bitwise.right_shift(targets[:, None], tf.range(findings)[None])
    return tf.cast(tf.bitwise.bitwise_and(bits, 1), tf.float32)


def share_right(logits: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Return the share of each image's findings that `logits` answer right, (n,); `present` is (n, findings)."""
    return tf.reduce_mean(tf.cast((logits > 0) == (present > 0.5), tf.float32), axis=-1)
