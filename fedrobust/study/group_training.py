"""Head-only training of many honest clients at once, on precomputed features."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.data.dataset import Split
from fedrobust.memoize import part
from fedrobust.models.layout import Weights
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.head_job import HeadJob
from fedrobust.training.head_update import HeadUpdate


@dataclass(frozen=True, eq=False)
class GroupTraining:
    """`LocalTraining` of many clients in few calls of a graph, with bitwise equal weights.

    Attributes:
        training: the local training of one client.
        update: the compiled update of the head.
        train: the training split.
        shard: function from a client to the positions of its images in the training split.
        work: function from round and client to the share of its batches on which it trains.
    """

    training: LocalTraining
    update: HeadUpdate
    train: Split
    shard: Callable[[int], np.ndarray]
    work: Callable[[int, int], float]

    @part
    def data(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Features (n, d) and labels (n,) of the training split."""
        return tf.constant(self.update.features.of(self.train.images)), tf.constant(self.train.labels)

    def __call__(
        self, clients: Sequence[int], weights: Weights, round: int
    ) -> list[tuple[Weights, Mapping[str, Any]]]:
        """Return each client's weights after its local update, and its metrics; see `LocalTraining`.

        Args:
            clients: honest clients.
            weights: the global weights.
            round: from 1.
        """
        began = time.perf_counter()
        jobs = [self._job(client, weights, round) for client in clients]
        trained = self.update.together(*self.data, jobs)
        seconds = (time.perf_counter() - began) / len(clients)
        return [
            (after, {**metrics, "num-examples": len(self.shard(client)), "seconds": seconds, "round": round})
            for client, (after, metrics) in zip(clients, trained, strict=True)
        ]

    def _job(self, client: int, weights: Weights, round: int) -> HeadJob:
        rows = self.shard(client)
        plan = self.training.plan(
            self.train.labels[rows], round, client, self.training.training, self.work(round, client)
        )
        batches = plan.batches.of(rows)
        return HeadJob(weights, batches, plan.learning_rates, plan.class_weights, plan.prior)
