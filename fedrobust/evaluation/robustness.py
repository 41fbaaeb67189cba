"""Measure a model on images as they are and as an attacker leaves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from fedrobust.data.dataset import Split
from fedrobust.epsilon import epsilon_value
from fedrobust.evaluation.metrics import Metrics, measure
from fedrobust.evaluation.scores.contract import NONE_FURTHER, Metric
from fedrobust.evasion import FGSM, BoundModel, CompiledModel, Threat, attack, attack_named
from fedrobust.evasion.run import Map
from fedrobust.models.layout import Weights


@dataclass(frozen=True)
class Robustness:
    """What was measured of one model.

    Attributes:
        clean: on the images as they are.
        attacked: attack -> epsilon as the study writes it -> metrics.
    """

    clean: Metrics
    attacked: Mapping[str, Mapping[str, Metrics]]


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
    compiled: CompiledModel, weights: Weights, images: np.ndarray, batch_size: int = 128, map: Map = map
) -> np.ndarray:
    """Return logits (n, classes) of stored uint8 `images` in inference mode."""
    target = BoundModel.of(compiled, weights, batch_size)

    def logits(rows: np.ndarray) -> np.ndarray:
        return target.logits(compiled.images(images[rows]))

    return np.concatenate(list(map(logits, even_batches(len(images), batch_size))))


def robustness(
    compiled: CompiledModel,
    weights: Weights,
    split: Split,
    epsilons: Sequence[float | str],
    batch_size: int = 128,
    map: Map = map,
    *,
    attacks: Sequence[str] = ("fgsm",),
    threat: Threat | None = None,
    seed: int = 0,
    clean: np.ndarray | None = None,
    further: Mapping[str, Metric] = NONE_FURTHER,
) -> Robustness:
    """Return the metrics of a model on `split`, clean and under every attack at every epsilon.

    FGSM is shown as it is, one step from every image at every epsilon. The other attacks keep the best adversary: an
    image that is broken stays broken.

    Args:
        compiled: the compiled model, and the space that is perturbed.
        weights: its weights.
        split: images with labels.
        epsilons: as the study writes them.
        batch_size: most images evaluated at once.
        map: runs batches, one after another or side by side; the result is the same.
        attacks: as the study writes them.
        threat: what may be done to an image; by default linf in the compiled model's space.
        seed: of the attacks' random choices.
        clean: (n, classes) logits of the images, where they are known already.
        further: other scores by name, see `fedrobust.evaluation.scores`.
    """
    target = BoundModel.of(compiled, weights, batch_size)
    images = compiled.images(split.images)
    values = [epsilon_value(epsilon) for epsilon in epsilons]
    names = [str(name) for _, name in sorted(zip(values, epsilons, strict=True), key=lambda pair: pair[0])]
    chunk = chunk_size(len(images), batch_size)
    attacked = {}
    for spec in attacks:
        done = attack(
            target,
            images,
            split.labels,
            spec,
            threat or Threat(),
            values,
            seed,
            nested=not isinstance(attack_named(spec), FGSM),
            keep_images=False,
            map=map,
            chunk=chunk,
        )
        curve = {
            name: measure(split.labels, row, further=further)
            for name, row in zip(names, done.logits, strict=True)
        }
        attacked[spec] = {str(epsilon): curve[str(epsilon)] for epsilon in epsilons}
    if clean is None:
        clean = clean_logits(compiled, weights, split.images, batch_size, map)
    return Robustness(measure(split.labels, clean, further=further), attacked)


def examples(
    compiled: CompiledModel,
    weights: Weights,
    split: Split,
    epsilons: Sequence[float | str],
    count: int,
    threat: Threat | None = None,
) -> Examples:
    """Return `count` images of `split` under FGSM at growing epsilon: the first of each class in turn.

    They are not picked by how well the attack does on them.
    """
    order = sorted(epsilons, key=epsilon_value)
    rows = first_of_each_class(split.labels, count)
    target = BoundModel.of(compiled, weights)
    images, labels = compiled.images(split.images[rows]), split.labels[rows]
    values = [epsilon_value(epsilon) for epsilon in order]
    done = attack(target, images, labels, "fgsm", threat or Threat(), values, nested=False)
    assert done.images is not None
    logits = np.concatenate([target.logits(images)[None], done.logits]).transpose(1, 0, 2)
    return Examples(
        images=np.concatenate([images[None], done.images]).transpose(1, 0, 2, 3, 4),
        probabilities=np.asarray(tf.raw_ops.Softmax(logits=logits)),
        labels=labels,
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


def chunk_size(n: int, batch_size: int) -> int:
    """Return how many images go into a chunk, so that chunks are as `even_batches` cuts them.

    Example:
        >>> chunk_size(156, 128)
        39
    """
    return max(len(rows) for rows in even_batches(n, batch_size))
