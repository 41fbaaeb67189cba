"""Evaluate a model on clean images and under evasion attacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from fedrobust.data.dataset import Split
from fedrobust.epsilon import epsilon_value
from fedrobust.evaluation.metrics import Metrics, measure
from fedrobust.evaluation.multilabel import measure_multilabel
from fedrobust.evaluation.scores.contract import NONE_FURTHER, Metric
from fedrobust.evaluation.surrogate_file import with_surrogate_file
from fedrobust.evasion import Attack, BoundModel, CompiledModel, Threat, attack, attack_named
from fedrobust.evasion.run import Map
from fedrobust.models.layout import Weights


@dataclass(frozen=True)
class Robustness:
    """The metrics of one model, clean and under attack.

    Attributes:
        clean: metrics on clean images.
        attacked: attack -> epsilon as written in the study -> metrics.
    """

    clean: Metrics
    attacked: Mapping[str, Mapping[str, Metrics]]


@dataclass(frozen=True)
class Examples:
    """Images under growing perturbation, with the model's predictions.

    Attributes:
        images: (k, epsilons + 1, height, width, channels) float32 in [0, 1]; the first of each row is clean.
        probabilities: (k, epsilons + 1, classes).
        labels: (k,) int32.
        epsilons: (epsilons + 1,) in units of [0, 1], the first is 0.
        epsilon_names: the same as written in the study.
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
    with_file: Callable[[str], str | Attack] = with_surrogate_file,
    threat: Threat | None = None,
    seed: int = 0,
    clean: np.ndarray | None = None,
    further: Mapping[str, Metric] = NONE_FURTHER,
    findings: int = 0,
) -> Robustness:
    """Return the metrics of a model on `split`, clean and under every attack at every epsilon.

    FGSM attacks every image at every epsilon with one step. The other attacks keep the best adversary: an image that is
    broken at one epsilon counts as broken at larger ones.

    Args:
        compiled: the compiled model, and the perturbed space.
        weights: its weights.
        split: images with labels.
        epsilons: as written in the study.
        batch_size: most images in a batch.
        map: runs batches in sequence or in parallel, with the same result.
        attacks: as written in the study.
        with_file: finds the file of a surrogate that one names.
        threat: the threat model; None: linf in the compiled model's space.
        seed: of the attacks' random numbers.
        clean: (n, classes) logits of the clean images, if known.
        further: further metrics by name, see `fedrobust.evaluation.scores`.
        findings: of a multi-label model, the label set of the attacked findings; 0: labels are classes.
    """
    target = BoundModel.of(compiled, weights, batch_size)
    images = compiled.images(split.images)
    values = [epsilon_value(epsilon) for epsilon in epsilons]
    names = [str(name) for _, name in sorted(zip(values, epsilons, strict=True), key=lambda pair: pair[0])]
    chunk = chunk_size(len(images), batch_size)
    attacked = {}
    if clean is None:
        clean = clean_logits(compiled, weights, split.images, batch_size, map)
    measured = partial(_measured, split.labels, further, findings, clean)
    for spec in attacks:
        done = attack(
            target,
            images,
            split.labels,
            with_file(spec),
            threat or Threat(),
            values,
            seed,
            nested=attack_named(spec).nests,
            keep_images=False,
            map=map,
            chunk=chunk,
            findings=findings,
        )
        curve = {name: measured(row) for name, row in zip(names, done.logits, strict=True)}
        attacked[spec] = {str(epsilon): curve[str(epsilon)] for epsilon in epsilons}
    return Robustness(measured(clean, attacked=False), attacked)


def _measured(
    labels: np.ndarray,
    further: Mapping[str, Metric],
    findings: int,
    clean: np.ndarray,
    logits: np.ndarray,
    attacked: bool = True,
) -> Metrics:
    if not findings:
        return measure(labels, logits, further=further)
    before = clean if attacked else None
    return measure_multilabel(labels, logits, further=further, clean=before, attacked=findings)


def examples(
    compiled: CompiledModel,
    weights: Weights,
    split: Split,
    epsilons: Sequence[float | str],
    count: int,
    threat: Threat | None = None,
    findings: int = 0,
) -> Examples:
    """Return `count` images of `split` under FGSM at growing epsilon: the first of each label in turn.

    The choice does not depend on the attack's success.
    """
    order = sorted(epsilons, key=epsilon_value)
    rows = first_of_each_class(split.labels, count)
    target = BoundModel.of(compiled, weights)
    images, labels = compiled.images(split.images[rows]), split.labels[rows]
    values = [epsilon_value(epsilon) for epsilon in order]
    done = attack(target, images, labels, "fgsm", threat or Threat(), values, nested=False, findings=findings)
    assert done.images is not None
    logits = np.concatenate([target.logits(images)[None], done.logits]).transpose(1, 0, 2)
    return Examples(
        images=np.concatenate([images[None], done.images]).transpose(1, 0, 2, 3, 4),
        probabilities=np.asarray(tf.sigmoid(logits) if findings else tf.raw_ops.Softmax(logits=logits)),
        labels=labels,
        epsilons=np.array([0.0, *values]),
        epsilon_names=np.array(["0", *map(str, order)]),
    )


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Return `count` positions: the first image of each class, then the second of each, and so on.

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
    """Divide range(n) into batches of nearly equal size, whose number is a multiple of four.

    Up to four workers then finish together, and the batches do not depend on the number of workers.

    Example:
        >>> [len(batch) for batch in even_batches(156, 128)]
        [39, 39, 39, 39]
    """
    batches = -(-n // batch_size)
    return [rows for rows in np.array_split(np.arange(n), -(-batches // 4) * 4) if len(rows)]


def chunk_size(n: int, batch_size: int) -> int:
    """Return the chunk size with which chunks are those of `even_batches`.

    Example:
        >>> chunk_size(156, 128)
        39
    """
    return max(len(rows) for rows in even_batches(n, batch_size))
