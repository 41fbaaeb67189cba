"""Balanced softmax, also called logit adjustment."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Decay, NonNegative
from fedrobust.lazy import tf
from fedrobust.training.losses.contract import LOSSES, probabilities, sparse_or_soft_cross_entropy

ABSENT = 1e-8
"""Share given to a class without images at the client, which removes its logit from the client's softmax."""


@LOSSES.register("balanced-softmax")
@dataclass(frozen=True, kw_only=True)
class BalancedSoftmax:
    """Cross-entropy of logits + tau log(class shares of the client) (Ren et al., 2020, arXiv:2007.10740, eq. 4).

    With tau it is the logit-adjusted loss (Menon et al., 2020, arXiv:2007.07314, eq. 10): the trained logits are not
    biased towards frequent classes. Shares are the client's own, as in FedLC (Zhang et al., 2022, arXiv:2209.00189), so
    that a client does not lower the logits of classes without images.

    Attributes:
        tau: weight of the shares; 1 estimates class-balanced posteriors, 0 is plain cross-entropy.
        label_smoothing: share of a label's probability that is spread over the client's classes by their shares, in
            [0, 1): evenly over all classes for the logits without shares. Spread evenly over the adjusted ones it would
            raise the logit of a class without images by as much as its share is small.

    Example:
        >>> even, shares = tf.constant([[0.0, 0.0]]), tf.constant([0.9, 0.1])
        >>> [round(float(BalancedSoftmax()(even, tf.constant([label]), shares)[0]), 4) for label in (0, 1)]
        [0.1054, 2.3026]
    """

    tau: NonNegative = 1.0
    label_smoothing: Decay = 0.0

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,)."""
        fitted = self.adjusted(logits, prior)
        if not self.label_smoothing:
            return sparse_or_soft_cross_entropy(fitted, targets)
        even = tf.nn.softmax(self.adjusted(tf.zeros_like(logits), prior))
        soft = (1.0 - self.label_smoothing) * probabilities(targets, logits.shape[-1])
        return tf.nn.softmax_cross_entropy_with_logits(
            labels=soft + self.label_smoothing * even, logits=fitted
        )

    def adjusted(self, logits: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return logits + tau log(class shares), (n, classes), whose softmax fits the client's images."""
        return logits + self.tau * tf.math.log(tf.maximum(prior, ABSENT))
