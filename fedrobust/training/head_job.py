"""The head-only update of one client, as one of many in a call of the graph."""

from dataclasses import dataclass, field

import numpy as np

from fedrobust.models.layout import Weights
from fedrobust.training.batches import Batches
from fedrobust.training.steering import Steering

NARROWEST = 4
"""Width of the narrowest batch; wider ones are powers of two."""


@dataclass(frozen=True, eq=False)
class HeadJob:
    """The arguments of one client's update.

    Attributes:
        start: initial weights of the head.
        batches: (steps, batch) rows of the features, and the sizes without padding.
        learning_rates: (steps,).
        class_weights: (classes,) factors of the losses by label; None: 1.
        prior: (classes,) shares of the classes among the client's images; None: equal shares.
        steering: correction, proximal term and mask of the federated algorithm.
    """

    start: Weights
    batches: Batches
    learning_rates: np.ndarray
    class_weights: np.ndarray | None = None
    prior: np.ndarray | None = None
    steering: Steering = field(default_factory=Steering)

    @property
    def width(self) -> int:
        """Width to which its batches are padded: the next power of two."""
        largest = int(self.batches.sizes.max())
        return int(min(max(NARROWEST, 1 << (largest - 1).bit_length()), self.batches.rows.shape[1]))
