"""Adam and AdamW."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Decay, NonNegative, Positive
from fedrobust.lazy import tf
from fedrobust.training.optimizers.optimizer import OPTIMIZERS, Step, Tensors, decayed


@OPTIMIZERS.register("adam")
@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma and Ba, 2014, arXiv:1412.6980), with epsilon placed as in Keras.

    w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon).

    The slots are the decaying sums m / (1 - b1) and v / (1 - b2), which give the same steps with fewer operations.

    Attributes:
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: added to the denominator.
        weight_decay: decoupled (AdamW, Loshchilov and Hutter, 2017, arXiv:1711.05101).
    """

    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: Positive = 1e-7
    weight_decay: NonNegative = 0.0

    def start(self, weights: Tensors) -> Tensors:
        """Return the decaying sums of gradients of all weights, then those of their squares."""
        return [tf.zeros_like(weight) for weight in [*weights, *weights]]

    def step(self, at: Step, weights: Tensors, gradients: Tensors, slots: Tensors) -> tuple[Tensors, Tensors]:
        """Return weights and both sums after one step."""
        t = tf.cast(at.number, tf.float32)
        root = (1.0 - self.beta_2) ** 0.5
        rate = (
            at.learning_rate
            * tf.sqrt(1.0 - self.beta_2**t)
            / (1.0 - self.beta_1**t)
            * (1.0 - self.beta_1)
            / root
        )
        weights = decayed(weights, at, self.weight_decay)
        first, second = slots[: len(slots) // 2], slots[len(slots) // 2 :]
        first = [self.beta_1 * m + g for m, g in zip(first, gradients, strict=True)]
        second = [self.beta_2 * v + g * g for v, g in zip(second, gradients, strict=True)]
        moved = [
            w - m / (tf.sqrt(v) + self.epsilon / root) * rate
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        return moved, [*first, *second]
