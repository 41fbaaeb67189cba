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
    """Which step it is.

    Attributes:
        number: int32, 1 for the first.
        learning_rate: float32.
        decayed: one mask a tensor of weights: 1 where weight decay applies, 0 where it does not (biases, BatchNorm's
            scales); None where it applies to all of them.
    """

    number: tf.Tensor
    learning_rate: tf.Tensor
    decayed: Tensors | None = None


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
    """Return `weights` less learning_rate * decay of themselves (Loshchilov and Hutter, 2017, arXiv:1711.05101).

    Only where ``at.decayed`` says so.
    """
    if not decay:
        return list(weights)
    if at.decayed is None:
        return [weight - weight * decay * at.learning_rate for weight in weights]
    masks = zip(weights, at.decayed, strict=True)
    return [weight - weight * mask * decay * at.learning_rate for weight, mask in masks]
