"""The server's own update, on images that it trusts."""

from collections.abc import Callable

import numpy as np

from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset, Problem, Split
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.study.local_training import train_locally


def root_update_of(experiment: Experiment, dataset: Dataset) -> Callable[[Weights, int, int], np.ndarray]:
    """Return a function that trains as a client would, on images of the validation split.

    It takes the global weights, a number of images and the round, and returns the update (parameters,). The images are
    the same in every round.
    """
    validation, problem = dataset.validation, Problem.of(dataset)

    def root(current: Weights, images: int, round: int) -> np.ndarray:
        draw = generator(experiment.seed, Purpose.AGGREGATION)
        chosen = np.sort(draw.choice(len(validation), images, replace=False))
        shard = Split(validation.images[chosen], validation.labels[chosen])
        # The server draws as the client after the last one would.
        trained, _ = train_locally(experiment, problem, shard, current, round, experiment.federation.clients)
        return trained.trainable - current.trainable

    return root
