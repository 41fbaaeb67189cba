"""Optimisers as pure functions: the arithmetic of Keras' own, with the slots passed in and out.

`keras.optimizers.*.stateless_apply` does not work on the TensorFlow backend, and a federated client starts with fresh
slots in every round anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import tensorflow as tf

from fedrobust.bounds import Decay, NonNegative, Positive
from fedrobust.registry import Registry

OPTIMIZERS = Registry("optimizer")

Tensors = list[tf.Tensor]


class Optimizer(Protocol):
    """A rule for one step; `slots` is a flat list of tensors that only the optimiser reads."""

    def start(self, weights: Sequence[tf.Tensor]) -> Tensors:
        """Return the slots before the first step."""
        ...

    def step(
        self,
        count: tf.Tensor,
        learning_rate: tf.Tensor,
        weights: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        slots: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Return weights and slots after step number `count` (int32, the first is 1)."""
        ...


@OPTIMIZERS.register("sgd")
@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, as `keras.optimizers.SGD`.

    v <- momentum v - lr g; w <- w + v, or with Nesterov's look-ahead w <- w + momentum v - lr g.

    Attributes:
        momentum: in [0, 1); 0 keeps no slots.
        nesterov: look ahead (Sutskever et al., 2013).
        weight_decay: decoupled: each step first takes lr * weight_decay of every weight (Loshchilov and Hutter,
            2017, arXiv:1711.05101).
    """

    momentum: Decay = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    def start(self, weights: Sequence[tf.Tensor]) -> Tensors:
        """Return one velocity a weight, or none without momentum."""
        return [tf.zeros_like(weight) for weight in weights] if self.momentum else []

    def step(
        self,
        count: tf.Tensor,
        learning_rate: tf.Tensor,
        weights: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        slots: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Return weights and velocities after one step."""
        weights = decayed(weights, learning_rate, self.weight_decay)
        if not self.momentum:
            return [w - learning_rate * g for w, g in zip(weights, gradients, strict=True)], []
        velocities = [self.momentum * v - learning_rate * g for v, g in zip(slots, gradients, strict=True)]
        moves = velocities
        if self.nesterov:
            moves = [
                self.momentum * v - learning_rate * g for v, g in zip(velocities, gradients, strict=True)
            ]
        return [w + move for w, move in zip(weights, moves, strict=True)], velocities


@OPTIMIZERS.register("adam")
@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2014, arXiv:1412.6980), with Keras' place for epsilon.

    w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon).

    Kept are m / (1 - b1) and v / (1 - b2), the plain decaying sums: the same steps with fewer passes over the weights.

    Attributes:
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of squared gradients.
        epsilon: keeps the division finite.
        weight_decay: decoupled (AdamW, Loshchilov and Hutter, 2017, arXiv:1711.05101).
    """

    beta_1: Decay = 0.9
    beta_2: Decay = 0.999
    epsilon: Positive = 1e-7
    weight_decay: NonNegative = 0.0

    def start(self, weights: Sequence[tf.Tensor]) -> Tensors:
        """Return the decaying sums of gradients of all weights, then those of their squares."""
        return [tf.zeros_like(weight) for weight in [*weights, *weights]]

    def step(
        self,
        count: tf.Tensor,
        learning_rate: tf.Tensor,
        weights: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        slots: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Return weights and both sums after one step."""
        t = tf.cast(count, tf.float32)
        root = (1.0 - self.beta_2) ** 0.5
        rate = (
            learning_rate
            * tf.sqrt(1.0 - self.beta_2**t)
            / (1.0 - self.beta_1**t)
            * (1.0 - self.beta_1)
            / root
        )
        weights = decayed(weights, learning_rate, self.weight_decay)
        first, second = slots[: len(slots) // 2], slots[len(slots) // 2 :]
        first = [self.beta_1 * m + g for m, g in zip(first, gradients, strict=True)]
        second = [self.beta_2 * v + g * g for v, g in zip(second, gradients, strict=True)]
        moved = [
            w - m / (tf.sqrt(v) + self.epsilon / root) * rate
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        return moved, [*first, *second]


def decayed(weights: Sequence[tf.Tensor], learning_rate: tf.Tensor, decay: float) -> Tensors:
    """Return `weights` less learning_rate * decay of themselves."""
    if not decay:
        return list(weights)
    return [weight - weight * decay * learning_rate for weight in weights]
