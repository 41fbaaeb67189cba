"""Cross-entropy of logits divided by a temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Positive
from fedrobust.lazy import tf
from fedrobust.training.losses.contract import LOSSES, sparse_or_soft_cross_entropy


@LOSSES.register("tempered-cross-entropy")
@dataclass(frozen=True, kw_only=True)
class TemperedCrossEntropy:
    """Cross-entropy of softmax(logits / T) (Papernot et al., 2015, arXiv:1511.04508, section IV).

    It trains the teacher of defensive distillation. A network that is trained so and used at temperature 1 has logits
    about T times larger.

    Attributes:
        temperature: T; 1 is plain cross-entropy.

    Example:
        >>> loss = TemperedCrossEntropy(temperature=2.0)
        >>> round(float(loss(tf.constant([[2.0, 0.0]]), tf.constant([0]), tf.constant([0.5, 0.5]))[0]), 4)
        0.3133
    """

    by_shares: ClassVar[bool] = False

    temperature: Positive = 20.0

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,); `prior` is not used."""
        return sparse_or_soft_cross_entropy(self.adjusted(logits, prior), targets)

    def adjusted(self, logits: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return logits / T, (n, classes), whose softmax is fitted; `prior` is not used."""
        return logits / self.temperature
