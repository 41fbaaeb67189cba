"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Decay, NonNegative
from fedrobust.lazy import tf
from fedrobust.training.optimizers.optimizer import OPTIMIZERS, Step, Tensors, decayed


@OPTIMIZERS.register("sgd")
@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum, as `keras.optimizers.SGD`.

    v <- momentum v - lr g; w <- w + v, or with Nesterov momentum w <- w + momentum v - lr g.

    Attributes:
        momentum: in [0, 1); 0 needs no slots.
        nesterov: use Nesterov momentum (Sutskever et al., 2013).
        weight_decay: decoupled: each step first multiplies weights by 1 - lr * weight_decay (Loshchilov and Hutter,
            2017, arXiv:1711.05101).
    """

    momentum: Decay = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    def start(self, weights: Tensors) -> Tensors:
        """Return one velocity for each tensor of weights, none without momentum."""
        return [tf.zeros_like(weight) for weight in weights] if self.momentum else []

    def step(self, at: Step, weights: Tensors, gradients: Tensors, slots: Tensors) -> tuple[Tensors, Tensors]:
        """Return weights and velocities after one step."""
        weights = decayed(weights, at, self.weight_decay)
        if not self.momentum:
            return [w - at.learning_rate * g for w, g in zip(weights, gradients, strict=True)], []
        velocities = [self.momentum * v - at.learning_rate * g for v, g in zip(slots, gradients, strict=True)]
        moves = velocities
        if self.nesterov:
            moves = [
                self.momentum * v - at.learning_rate * g for v, g in zip(velocities, gradients, strict=True)
            ]
        return [w + move for w, move in zip(weights, moves, strict=True)], velocities
