"""Steering: how a federated algorithm changes the steps of a local update, and the record of these steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fedrobust.lazy import tf
from fedrobust.models.layout import Weights
from fedrobust.training.optimizers.optimizer import Optimizer, Step, Tensors


@dataclass(frozen=True, eq=False)
class Steering:
    """Correction, proximal term and mask of every step of one local update.

    Attributes:
        correction: (parameters,) float32, added to every gradient; None: none.
        pull: mu of the proximal term mu / 2 |w - start|^2 in the objective.
        trained: (parameters,) bool, mask of the parameters that steps change; None: all.
    """

    correction: np.ndarray | None = None
    pull: float = 0.0
    trained: np.ndarray | None = None

    def among(self, places: np.ndarray) -> Steering:
        """Return the steering of a part of the weights, at positions `places`."""
        correction = None if self.correction is None else self.correction[places]
        return Steering(correction, self.pull, None if self.trained is None else self.trained[places])

    def arrays(self, parameters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return correction (parameters,), pull () and mask (parameters,) as arguments of a graph, all float32."""
        correction = np.zeros(parameters) if self.correction is None else self.correction
        trained = np.ones(parameters) if self.trained is None else self.trained
        return (
            np.asarray(correction, np.float32),
            np.array(self.pull, np.float32),
            np.asarray(trained, np.float32),
        )


def steering_specs(parameters: int, *clients: int | None) -> list[tf.TensorSpec]:
    """Return the specs of `Steering.arrays`, for one client or with an axis of `clients` (None: any number)."""
    shapes = ([*clients, parameters], [*clients], [*clients, parameters])
    return [tf.TensorSpec(shape, tf.float32) for shape in shapes]


class Steered(NamedTuple):
    """A `Steering` inside a graph, one tensor for each tensor of weights.

    Attributes:
        correction: added to gradients.
        pull: mu, in a shape that broadcasts with weights.
        trained: bool.
    """

    correction: Tensors
    pull: tf.Tensor
    trained: Tensors

    @classmethod
    def of(cls, arrays: Sequence[tf.Tensor], split: Callable[[tf.Tensor], Tensors]) -> Steered:
        """Return `Steering.arrays` split as the weights are by `split`."""
        correction, pull, trained = arrays
        return cls(split(correction), pull, [mask > 0.5 for mask in split(trained)])

    def gradients(self, gradients: Tensors, weights: Tensors, start: Tensors) -> Tensors:
        """Return `gradients` plus the correction and the proximal term's gradient towards `start`."""
        each = zip(gradients, self.correction, weights, start, strict=True)
        # TensorFlow merges a sum of three into one AddN, whose order depends on which buffers it reuses; differences
        # have a fixed order, and so the same bits in every run.
        return [gradient - (self.pull * (there - here) - more) for gradient, more, here, there in each]

    def kept(self, stepped: Tensors, weights: Tensors) -> Tensors:
        """Return `stepped` where the mask is true, and `weights` elsewhere."""
        each = zip(self.trained, stepped, weights, strict=True)
        return [tf.where(trained, new, old) for trained, new, old in each]


@dataclass(frozen=True)
class Trained(Weights):
    """The weights after a local update, with its learning rates, optimiser and mean gradient.

    Attributes:
        learning_rates: (steps,) float32.
        optimizer: the local optimiser.
        gradient: (parameters,) float32, the mean over steps of the gradients of the client's loss, without the
            steering; None if the update is not steered.
    """

    learning_rates: np.ndarray
    optimizer: Optimizer
    gradient: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.learning_rates)

    @property
    def accumulated(self) -> float:
        """Change of a weight over these steps under a constant gradient of 1.

        With SGD it is the learning rate times the norm ||a||_1 of Wang et al. (2020, arXiv:2007.07481, section 4): the
        sum of learning rates, with momentum including each gradient's contribution to later steps. With Adam, whose
        step size does not depend on the gradient's norm, it is the sum of learning rates.

        Example:
            >>> from fedrobust.training.optimizers import SGD
            >>> none = np.zeros(0, np.float32)
            >>> Trained(none, none, np.array([0.5, 0.5], np.float32), SGD(momentum=0.0)).accumulated
            1.0
            >>> Trained(none, none, np.array([1.0, 1.0], np.float32), SGD(momentum=0.5)).accumulated
            2.5
        """
        weights: Tensors = [tf.zeros([1])]
        slots = self.optimizer.start(weights)
        for number, rate in enumerate(self.learning_rates, 1):
            at = Step(tf.constant(number), tf.constant(rate), [tf.zeros([1])])
            weights, slots = self.optimizer.step(at, weights, [tf.ones([1])], slots)
        return -float(weights[0][0])
