"""What one hospital does: one local update on its images in a round."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class Hospital:
    """One client of a study.

    Attributes:
        experiment: the study.
        partition: which client it is.
        shard: its training images.
        problem: the shape of the study's images, and its classes.
    """

    experiment: Experiment
    partition: int
    shard: Split
    problem: Problem

    def train(self, weights: Weights, round: int) -> tuple[Weights, Mapping[str, Any]]:
        """Return the weights after one local update in `round` (from 1), and its metrics.

        Metrics are those of `LocalUpdate`, with ``num-examples``, the images of the shard, and ``seconds``.
        """
        training, seed = self.experiment.training, self.experiment.seed
        where = {"round": round, "partition": self.partition}
        batches = draw_batches(
            np.arange(len(self.shard)),
            training.epochs,
            training.batch_size,
            generator(seed, Purpose.TRAINING, **where),
        )
        update = local_update_of(self.experiment, self.problem)
        started = time.perf_counter()
        trained, metrics = update(
            weights,
            TrainingData.of(self.shard.images, self.shard.labels),
            batches,
            learning_rates=learning_rates(
                training.learning_rate,
                training.schedule,
                len(batches.sizes),
                round,
                self.experiment.federation.rounds,
            ),
            seed=graph_seed(seed, Purpose.TRAINING, **where),
            class_weights=self._class_weights(),
        )
        seconds = time.perf_counter() - started
        return trained, {**metrics, "num-examples": len(self.shard), "seconds": seconds}

    def _class_weights(self) -> np.ndarray | None:
        if self.experiment.training.class_weights == "none":
            return None
        return balanced_class_weights(self.shard.labels, self.problem.classes)
