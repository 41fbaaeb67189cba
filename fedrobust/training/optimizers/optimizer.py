"""The contract of local optimisers, and their registry.

An optimiser is a pure function with its slots as argument and result, because `keras.optimizers.*.stateless_apply` does
not work on the TensorFlow backend, and a federated client starts with new slots in every round.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fedrobust.lazy import tf
from fedrobust.registry import Registry

OPTIMIZERS = Registry("local optimizer", "fedrobust.training.optimizers")

Tensors = list["tf.Tensor"]


class Step(NamedTuple):
    """A step's number, learning rate and weight decay masks.

    Attributes:
        number: int32, from 1.
        learning_rate: float32.
        decayed: one mask for each tensor of weights: 1 where weight decay applies, 0 where not (biases, BatchNorm's
            scales); None: it applies to all weights.
    """

    number: tf.Tensor
    learning_rate: tf.Tensor
    decayed: Tensors | None = None


class Optimizer(Protocol):
    """A frozen dataclass of settings with two methods, called inside the graph.

    `slots` is a flat list of tensors, the optimiser's state.
    """

    def start(self, weights: Tensors) -> Tensors:
        """Return the slots before the first step."""
        ...

    def step(self, at: Step, weights: Tensors, gradients: Tensors, slots: Tensors) -> tuple[Tensors, Tensors]:
        """Return weights and slots after one step."""
        ...


def decayed(weights: Tensors, at: Step, decay: float) -> Tensors:
    """Return ``weights * (1 - learning_rate * decay)`` (Loshchilov and Hutter, 2017, arXiv:1711.05101).

    The decay is masked by ``at.decayed``.
    """
    if not decay:
        return list(weights)
    if at.decayed is None:
        return [weight - weight * decay * at.learning_rate for weight in weights]
    masks = zip(weights, at.decayed, strict=True)
    return [weight - weight * mask * decay * at.learning_rate for weight, mask in masks]
