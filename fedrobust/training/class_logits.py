"""Federated distillation: clients exchange the mean answers of their models to the images of each class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.models.layout import Weights
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses.contract import Loss
from fedrobust.training.training_data import TrainingData


def mean_answers(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean softmax probabilities of each class' images, (classes, classes); NaN for a class without any.

    They are the local average logit vectors of Jeong et al. (2018, arXiv:1811.11479, Algorithm 1), who call a softmax
    output a logit vector. Theirs are averages over the steps of a local training, these are of the model after it.

    Args:
        logits: (n, classes).
        labels: (n,) int.

    Example:
        >>> mean_answers(np.log([[0.8, 0.2], [0.6, 0.4]]), np.array([0, 0])).round(3).tolist()
        [[0.7, 0.3], [nan, nan]]
    """
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    classes = logits.shape[1]
    rows = [labels == label for label in range(classes)]
    return np.stack([shares[row].mean(axis=0) if row.any() else np.full(classes, np.nan) for row in rows])


def mean_table(tables: np.ndarray) -> np.ndarray:
    """Return the mean of `tables` (clients, classes, classes) over the clients that have a class; NaN if none has.

    Example:
        >>> mean_table(np.array([[[0.9, 0.1], [np.nan, np.nan]], [[0.7, 0.3], [0.2, 0.8]]])).round(3).tolist()
        [[0.8, 0.2], [0.2, 0.8]]
    """
    known = ~np.isnan(tables)
    counts = known.sum(axis=0)
    return np.divide(
        np.where(known, tables, 0).sum(axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0
    )


def of_others(tables: np.ndarray, client: int) -> np.ndarray:
    """Return what a client distils: the mean table of all clients but itself."""
    return mean_table(np.delete(tables, client, axis=0))


def softened(labels: np.ndarray, table: np.ndarray, gamma: float) -> np.ndarray:
    """Return targets (n, classes) float32 whose cross-entropy is that of the labels and of the others' answers.

    A client minimises CE(label) + gamma CE(others' mean answer to the label). Cross-entropy is linear in its targets:
    that is 1 + gamma times the cross-entropy of the returned mixture. The factor is left out. Where no other client has
    the class, the target is the label.

    Args:
        labels: (n,) int.
        table: (classes, classes) from `of_others`.
        gamma: weight of the distillation.

    Example:
        >>> softened(np.array([0, 1]), np.array([[0.6, 0.4], [np.nan, np.nan]]), gamma=1.0).round(3).tolist()
        [[0.800000011920929, 0.20000000298023224], [0.0, 1.0]]
    """
    hard = np.eye(len(table))
    rows = np.where(np.isnan(table), hard, (hard + gamma * table) / (1 + gamma))
    return rows[labels].astype(np.float32)


@dataclass(frozen=True)
class OnSoftened:
    """A loss on the softened labels, the second half of targets (n, 2 classes).

    The first half is the label, which class weights, attacks and the training accuracy read: with a `gamma` above 1
    another class may have the largest softened target.

    Attributes:
        loss: cross-entropy.
    """

    loss: Loss

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,)."""
        return self.loss(logits, targets[:, logits.shape[-1] :], prior)


class SoftenedUpdate:
    """A local update on labels that are softened by the answers of others.

    Args:
        update: compiled for targets (n, 2 classes) float32, with the loss `OnSoftened`.
        table: see `of_others`.
        gamma: weight of the distillation.
    """

    def __init__(self, update: LocalUpdate, table: np.ndarray, gamma: float):
        self._update, self._table, self._gamma = update, table, gamma

    def __call__(
        self, weights: Weights, data: TrainingData, batches: Batches, **given: Any
    ) -> tuple[Weights, Mapping[str, Any]]:
        """Return the weights after training on `batches`, and metrics; see `LocalUpdate`."""
        labels = np.asarray(data.targets)
        soft = softened(labels, self._table, self._gamma)
        targets = tf.concat([tf.one_hot(labels, soft.shape[1]), soft], axis=1)
        return self._update(weights, TrainingData(data.images, targets), batches, **given)


Softening = Callable[[np.ndarray], SoftenedUpdate]
"""From the others' table to the local update of a client."""
