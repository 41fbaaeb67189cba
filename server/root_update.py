"""The server's own update, on its validation images (root data)."""

from collections.abc import Callable

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.study.local_training import LocalTraining

RootUpdate = Callable[[Weights, int, int], np.ndarray]
"""``root(current, images, round)``: the update (parameters,) that the server computes on images of its own."""


def root_update_of(training: LocalTraining, validation: Split, clients: int) -> RootUpdate:
    """Return a function that trains as a client would, on images of the validation split.

    The images are the same in every round.

    Args:
        training: what a client does in a round.
        validation: the server's own images.
        clients: of the study; the server draws as the client after the last one would.
    """

    def root(current: Weights, images: int, round: int) -> np.ndarray:
        draw = generator(training.seed, Purpose.AGGREGATION)
        chosen = np.sort(draw.choice(len(validation), images, replace=False))
        shard = Split(validation.images[chosen], validation.labels[chosen])
        trained, _ = training(shard, current, round, clients)
        return trained.trainable - current.trainable

    return root
