"""One client's training in one round: the study's settings put into the local update."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.study import Problem, local_update_of
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import TrainingData
from fedrobust.training.schedule import balanced_class_weights, learning_rates


def train_locally(
    experiment: Experiment, problem: Problem, shard: Split, weights: Weights, round: int, partition: int
) -> tuple[Weights, Mapping[str, Any]]:
    """Return the weights after one local update on `shard`, and its metrics.

    Metrics are those of `LocalUpdate`, with ``num-examples``, the images of the shard, ``seconds`` and ``round``.

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
    return trained, {**metrics, "num-examples": len(shard), "seconds": seconds, "round": round}
