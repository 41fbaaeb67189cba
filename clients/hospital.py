"""What one hospital has and does: its shard of the training images, and one local update in a round."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.config import Experiment
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.study import dataset_of, local_update_of, partition_of, training_data_of
from fedrobust.training.batches import draw_batches
from fedrobust.training.schedule import balanced_class_weights, learning_rates


@dataclass(frozen=True)
class Hospital:
    """One client of a study.

    Attributes:
        experiment: the study.
        partition: which shard of the training split is this hospital's.
    """

    experiment: Experiment
    partition: int

    @property
    def shard(self) -> np.ndarray:
        """Places of this hospital's images in the training split, shape (n,)."""
        return partition_of(self.experiment).shards[self.partition]

    def train(self, weights: Weights, round: int) -> tuple[Weights, Mapping[str, Any]]:
        """Return the weights after one local update in `round` (from 1), and its metrics.

        Metrics are those of `LocalUpdate`, with ``num-examples``, the images of the shard, and ``seconds``.
        """
        training, seed = self.experiment.training, self.experiment.seed
        where = {"round": round, "partition": self.partition}
        batches = draw_batches(
            self.shard, training.epochs, training.batch_size, generator(seed, Purpose.TRAINING, **where)
        )
        started = time.perf_counter()
        trained, metrics = local_update_of(self.experiment)(
            weights,
            training_data_of(self.experiment),
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
        dataset = dataset_of(self.experiment)
        return balanced_class_weights(dataset.train.labels[self.shard], dataset.classes)
