"""Balanced softmax, also called logit adjustment."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Decay, NonNegative
from fedrobust.lazy import tf
from fedrobust.training.losses.contract import LOSSES
from fedrobust.training.losses.cross_entropy import CrossEntropy

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
        label_smoothing: as in cross-entropy.

    Example:
        >>> even, shares = tf.constant([[0.0, 0.0]]), tf.constant([0.9, 0.1])
        >>> [round(float(BalancedSoftmax()(even, tf.constant([label]), shares)[0]), 4) for label in (0, 1)]
        [0.1054, 2.3026]
    """

    tau: NonNegative = 1.0
    label_smoothing: Decay = 0.0

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,)."""
        return CrossEntropy(label_smoothing=self.label_smoothing)(
            self.adjusted(logits, prior), targets, prior
        )

    def adjusted(self, logits: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return logits + tau log(class shares), (n, classes), whose softmax fits the client's images."""
        return logits + self.tau * tf.math.log(tf.maximum(prior, ABSENT))
