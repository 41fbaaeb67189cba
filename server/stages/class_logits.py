"""Federated distillation: the clients' models learn from each other's mean answers to each class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.class_logits import Softening, mean_answers, mean_table, of_others

SMALLEST = 1e-6
"""Of a probability whose logarithm is a teacher's logit."""


@dataclass(frozen=True, eq=False)
class ClassLogits:
    """Federated distillation of per-class answers (Jeong et al., 2018, arXiv:1811.11479, Algorithm 1).

    Every client has a model of its own, of the study's network, from the federation's initial weights. In a round it
    trains on its images, whose labels are softened by the mean answers of the other clients to each class, and sends
    its own: classes x classes probabilities, and nothing else. All clients are honest.

    Attributes:
        training: the local training of a round.
        softening: returns the local update for the others' table.
        shard: returns a client's images.
        start: the initial weights.
        clients: their number.
        rounds: the rounds in which they train, ascending.
        recalibrated: returns a client's model with BatchNorm statistics of its own images, if the study measures them.
        logits: returns the logits (n, classes) of a model on uint8 images.
        changed: returns the settings of ``[training]`` that differ at a client.
    """

    training: LocalTraining
    softening: Softening
    shard: Callable[[int], Split]
    start: Weights
    clients: int
    rounds: Sequence[int]
    recalibrated: Callable[[int, Weights], Weights]
    logits: Callable[[Weights, np.ndarray], np.ndarray]
    changed: Callable[[int], Mapping[str, Any]]

    def __call__(self) -> tuple[np.ndarray, list[Weights]]:
        """Return the mean answers of all clients after the last round, (classes, classes), and their models."""
        models = [self.start] * self.clients
        tables: np.ndarray | None = None
        for round in self.rounds:
            sent = []
            for client in range(self.clients):
                models[client] = self.trained(client, models[client], round, tables)
                own, shard = self.recalibrated(client, models[client]), self.shard(client)
                sent.append(mean_answers(self.logits(own, shard.images), shard.labels))
            tables = np.stack(sent)
        assert tables is not None
        return mean_table(tables), [self.recalibrated(client, one) for client, one in enumerate(models)]

    def trained(self, client: int, model: Weights, round: int, tables: np.ndarray | None) -> Weights:
        """Return a client's model after a round; in the first there are no tables, and labels stay as they are."""
        if tables is None:
            tables = np.full((self.clients, *(2 * [self.training.problem.classes])), np.nan)
        update = self.softening(of_others(tables, client))
        training = replace(self.training, update=lambda settings: cast(Any, update))
        after, _ = training(self.shard(client), model, round, client, self.changed(client))
        return after


def teaching(table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the logits (n, classes) that teach a student on images with `labels`: those of the class' mean answer.

    Example:
        >>> table = np.array([[0.75, 0.25], [np.nan, np.nan]])
        >>> np.exp(teaching(table, np.array([0, 1]))).round(3).tolist()
        [[0.75, 0.25], [0.0, 1.0]]
    """
    known = np.where(np.isnan(table), np.eye(len(table)), table)
    found: np.ndarray = np.log(np.maximum(known, SMALLEST))[labels].astype(np.float32)
    return found
