"""Cross-entropy, with label smoothing."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Decay
from fedrobust.lazy import tf
from fedrobust.training.losses.contract import LOSSES, probabilities, sparse_or_soft_cross_entropy


@LOSSES.register("cross-entropy")
@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Cross-entropy of the softmax; labels may be smoothed (Szegedy et al., 2016, arXiv:1512.00567, section 7).

    Attributes:
        label_smoothing: share of a label's probability that is spread evenly over all classes, in [0, 1).

    Example:
        >>> loss = CrossEntropy(label_smoothing=0.5)
        >>> round(float(loss(tf.constant([[0.0, 0.0]]), tf.constant([0]), tf.constant([0.5, 0.5]))[0]), 4)
        0.6931
    """

    label_smoothing: Decay = 0.0

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,); `prior` is not used."""
        if not self.label_smoothing:
            return sparse_or_soft_cross_entropy(logits, targets)
        classes = logits.shape[-1]
        soft = (1.0 - self.label_smoothing) * probabilities(targets, classes) + self.label_smoothing / classes
        return tf.nn.softmax_cross_entropy_with_logits(labels=soft, logits=logits)
