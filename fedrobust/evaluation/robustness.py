"""Measure a model on images as they are and as an attacker leaves them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from fedrobust.config import Epsilon, epsilon_value
from fedrobust.data.dataset import Split
from fedrobust.evaluation.metrics import Metrics, measure
from fedrobust.evasion.fgsm import FGSM
from fedrobust.evasion.victim import HeldWeights, Victim
from fedrobust.models.layout import Weights

T = TypeVar("T")
Map = Callable[[Callable[[T], Any], Iterable[T]], Iterable[Any]]
"""``map`` or an executor's ``map``: batches are independent of one another."""


@dataclass(frozen=True)
class Robustness:
    """What was measured of one model.

    Attributes:
        clean: on the images as they are.
        attacked: attack -> epsilon as the study writes it -> metrics.
    """

    clean: Metrics
    attacked: Mapping[str, Mapping[str, Metrics]]

    def to_json(self) -> dict[str, Any]:
        """Return plain data: ``clean`` and ``robust``."""
        return {
            "clean": self.clean.to_json(),
            "robust": {
                attack: {epsilon: metrics.to_json() for epsilon, metrics in curve.items()}
                for attack, curve in self.attacked.items()
            },
        }


@dataclass(frozen=True)
class Examples:
    """Images under growing perturbation and what the model says of them.

    Attributes:
        images: (k, epsilons + 1, height, width, channels) float32 in [0, 1]; the first of each row is clean.
        probabilities: (k, epsilons + 1, classes).
        labels: (k,) int32.
        epsilons: (epsilons + 1,) in units of [0, 1], the first is 0.
        epsilon_names: the same as the study writes them.
    """

    images: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    epsilons: np.ndarray
    epsilon_names: np.ndarray


def clean_logits(
    victim: Victim, weights: Weights, images: np.ndarray, batch_size: int = 128, map: Map[Any] = map
) -> np.ndarray:
    """Return logits (n, classes) of stored uint8 `images` in inference mode."""
    held = victim.hold(weights)

    def logits(rows: np.ndarray) -> np.ndarray:
        return np.asarray(victim.logits(held, victim.images(images[rows])))

    return np.concatenate(list(map(logits, even_batches(len(images), batch_size))))


def robustness(
    victim: Victim,
    weights: Weights,
    split: Split,
    epsilons: Sequence[Epsilon],
    batch_size: int = 128,
    map: Map[Any] = map,
) -> Robustness:
    """Return the metrics of a model on `split`, clean and under FGSM at every epsilon.

    Args:
        victim: the model, and the space that is perturbed.
        weights: its weights.
        split: images with labels.
        epsilons: as the study writes them.
        batch_size: most images evaluated at once.
        map: runs batches, one after another or side by side; the result is the same.
    """
    held = victim.hold(weights)
    values = [epsilon_value(epsilon) for epsilon in epsilons]

    def curve(rows: np.ndarray) -> np.ndarray:
        clean, attacked, _ = _attacked(victim, held, split.images[rows], split.labels[rows], values)
        return np.stack([clean, *attacked])

    logits = np.concatenate(list(map(curve, even_batches(len(split.labels), batch_size))), axis=1)
    return Robustness(
        clean=measure(split.labels, logits[0]),
        attacked={
            "fgsm": {
                str(name): measure(split.labels, row) for name, row in zip(epsilons, logits[1:], strict=True)
            }
        },
    )


def examples(
    victim: Victim, weights: Weights, split: Split, epsilons: Sequence[Epsilon], count: int
) -> Examples:
    """Return `count` images of `split` under FGSM at growing epsilon: the first of each class in turn.

    They are not picked by how well the attack does on them.
    """
    order = sorted(epsilons, key=epsilon_value)
    values = [epsilon_value(epsilon) for epsilon in order]
    rows = first_of_each_class(split.labels, count)
    held = victim.hold(weights)
    clean, attacked, images = _attacked(victim, held, split.images[rows], split.labels[rows], values)
    return Examples(
        images=np.stack([np.asarray(image) for image in images], axis=1),
        probabilities=np.asarray(tf.nn.softmax(np.stack([clean, *attacked], axis=1))),
        labels=split.labels[rows],
        epsilons=np.array([0.0, *values]),
        epsilon_names=np.array(["0", *map(str, order)]),
    )


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Return `count` places: the first image of each class, then the second of each, and so on.

    Example:
        >>> first_of_each_class(np.array([1, 1, 0, 1]), 3).tolist()
        [2, 0, 1]
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    turns = [
        (turn, label, place) for label, places in enumerate(members) for turn, place in enumerate(places)
    ]
    return np.array([place for *_, place in sorted(turns)[:count]], np.int64)


def even_batches(n: int, batch_size: int) -> list[np.ndarray]:
    """Cut range(n) into batches of nearly equal size, their number a multiple of four.

    So up to four workers finish together, and what a batch holds does not depend on how many there are.

    Example:
        >>> [len(batch) for batch in even_batches(156, 128)]
        [39, 39, 39, 39]
    """
    batches = -(-n // batch_size)
    return [rows for rows in np.array_split(np.arange(n), -(-batches // 4) * 4) if len(rows)]


def _attacked(
    victim: Victim, held: HeldWeights, stored: np.ndarray, labels: np.ndarray, epsilons: Sequence[float]
) -> tuple[np.ndarray, list[np.ndarray], list[tf.Tensor]]:
    """Return clean logits, logits of every epsilon, and the images behind them, the clean ones first."""
    images = victim.images(stored)
    clean, adversarial = FGSM().curve(victim, held, images, tf.constant(labels, tf.int32), epsilons)
    attacked = [np.asarray(victim.logits(held, image)) for image in adversarial]
    return np.asarray(clean), attacked, [images, *adversarial]
