"""One client's training in one round: the study's settings put into the local update."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedrobust.config import Experiment
from fedrobust.data.dataset import Problem, Split
from fedrobust.data.resampling import augmented, undersampled
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.study import local_update_of
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import TrainingData
from fedrobust.training.schedule import balanced_class_weights, learning_rates


def train_locally(
    experiment: Experiment, problem: Problem, shard: Split, weights: Weights, round: int, partition: int
) -> tuple[Weights, Mapping[str, Any]]:
    """Return the weights after one local update on `shard`, and its metrics.

    Metrics are those of `LocalUpdate`, with ``num-examples``, the images of the shard, ``seconds`` and ``round``. What
    undersampling leaves out and augmentation adds is drawn anew in every round, and changes no claim: a copy is no
    patient.

    Args:
        experiment: the study.
        problem: the shape of its images, and its classes.
        shard: images to train on.
        weights: where to start.
        round: from 1.
        partition: whose draws are used.
    """
    training, seed = experiment.training.in_round(round), experiment.seed
    experiment = experiment.model_copy(update={"training": training})
    claimed, shard = len(shard), resampled(shard, experiment, round, partition)
    batches = draw_batches(
        np.arange(len(shard)),
        training.epochs,
        training.batch_size,
        generator(seed, Purpose.TRAINING, round, partition),
    )
    update = local_update_of(experiment, problem)
    balanced = training.class_weights == "balanced"
    started = time.perf_counter()
    trained, metrics = update(
        weights,
        TrainingData.of(shard.images, shard.labels),
        batches,
        learning_rates=learning_rates(
            training.learning_rate,
            training.schedule,
            len(batches.sizes),
            round,
            experiment.federation.rounds,
        ),
        seed=graph_seed(seed, Purpose.TRAINING, round, partition),
        class_weights=balanced_class_weights(shard.labels, problem.classes) if balanced else None,
    )
    seconds = time.perf_counter() - started
    return trained, {**metrics, "num-examples": claimed, "seconds": seconds, "round": round}


def resampled(shard: Split, experiment: Experiment, round: int, partition: int) -> Split:
    """Return a client's images of a round after what the study says of them: undersampling first, then augmentation."""
    draw = generator(experiment.seed, Purpose.RESAMPLING, round, partition)
    if experiment.data.undersample:
        shard = undersampled(shard, draw)
    return augmented(shard, experiment.data.augment, draw) if experiment.data.augment else shard
