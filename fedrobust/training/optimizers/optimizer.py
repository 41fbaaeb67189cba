"""The contract of local optimisers, and their registry.

`keras.optimizers.*.stateless_apply` does not work on the TensorFlow backend, and a federated client starts with fresh
slots in every round anyway: an optimiser is a pure function, its slots passed in and out.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fedrobust.lazy import tf
from fedrobust.registry import Registry

OPTIMIZERS = Registry("local optimizer", "fedrobust.training.optimizers")

Tensors = list["tf.Tensor"]


class Step(NamedTuple):
    """Which step it is: its number, int32 (the first is 1), and its learning rate, float32."""

    number: tf.Tensor
    learning_rate: tf.Tensor


class Optimizer(Protocol):
    """A frozen dataclass of settings with two methods, called inside the graph.

    `slots` is a flat list of tensors that only the optimiser reads.
    """

    def start(self, weights: Tensors) -> Tensors:
        """Return the slots before the first step."""
        ...

    def step(self, at: Step, weights: Tensors, gradients: Tensors, slots: Tensors) -> tuple[Tensors, Tensors]:
        """Return weights and slots after one step."""
        ...


def decayed(weights: Tensors, at: Step, decay: float) -> Tensors:
    """Return `weights` less learning_rate * decay of themselves (Loshchilov and Hutter, 2017, arXiv:1711.05101)."""
    if not decay:
        return list(weights)
    return [weight - weight * decay * at.learning_rate for weight in weights]
