"""The focal loss."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import NonNegative
from fedrobust.lazy import tf
from fedrobust.training.losses.contract import LOSSES, probabilities

SMALLEST = 1e-7
"""Of 1 - p: half a step of float32 below 1."""


@LOSSES.register("focal")
@dataclass(frozen=True, kw_only=True)
class Focal:
    """Cross-entropy times (1 - p)^gamma, p being the label's probability (Lin et al., 2017, arXiv:1708.02002, eq. 4).

    Images that are classified correctly with high confidence have less weight.

    Attributes:
        gamma: 0 is plain cross-entropy.

    Example:
        >>> round(float(Focal(gamma=2.0)(tf.constant([[0.0, 0.0]]), tf.constant([0]), tf.constant([0.5, 0.5]))[0]), 4)
        0.1733
    """

    gamma: NonNegative = 2.0

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,); `prior` is not used."""
        logs = tf.nn.log_softmax(logits)
        # Powers below 1 have no slope at 0, where a probability is rounded to 1; nor have others' second derivatives.
        factors = tf.maximum(1.0 - tf.exp(logs), SMALLEST) ** self.gamma
        return -tf.reduce_sum(probabilities(targets, logits.shape[-1]) * factors * logs, axis=-1)
