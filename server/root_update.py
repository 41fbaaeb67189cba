"""The server's own update, on its validation images (root data)."""

from collections.abc import Callable

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.study.local_training import LocalTraining

RootUpdate = Callable[[Weights, int, int, float | None], np.ndarray]
"""``root(current, images, round, typical)``: the update (parameters,) that the server computes on its own images, in as
many steps as a client with `typical` images makes; None: as its own images give."""


def root_update_of(training: LocalTraining, validation: Split, clients: int) -> RootUpdate:
    """Return a function that trains as a client, on images of the validation split.

    The images are the same in every round. A rule that compares updates with this one gets one of as many steps and as
    large batches as those of clients (Cao et al., 2020, arXiv:2012.13995, Algorithm 2), whatever the number of images:
    passes over them are repeated, or the last one is cut.

    Args:
        training: the local training.
        validation: the server's own images.
        clients: number of clients; the server uses the random numbers of the next client id.
    """

    def root(current: Weights, images: int, round: int, typical: float | None = None) -> np.ndarray:
        own = root_images(validation, images, training.seed)
        trained, _ = training(own, current, round, clients, like=typical)
        return trained.trainable - current.trainable

    return root


def root_images(validation: Split, images: int, seed: int) -> Split:
    """Return the server's own images, the same in every round.

    Args:
        validation: the split from which they are drawn.
        images: their number.
        seed: the study's.
    """
    draw = generator(seed, Purpose.AGGREGATION)
    chosen = np.sort(draw.choice(len(validation), images, replace=False))
    return Split(validation.images[chosen], validation.labels[chosen])
