"""A model that abstains where a detector is suspicious: the cost of abstaining, and attacks on both together."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fedrobust.audit.card import Card
from fedrobust.audit.certified import share
from fedrobust.audit.images import chosen_split
from fedrobust.audit.opened import Opened, opened_with_digest
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.detectors import Detector, Seen
from fedrobust.detectors.contract import FEWEST
from fedrobust.detectors.guard import features_of, guarded, threshold_of
from fedrobust.evasion import BoundModel, CompiledModel, Threat, attack
from fedrobust.evasion.models.bound import through_roundings
from fedrobust.evasion.models.model_file import OpenedModel
from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.run import Map
from fedrobust.evasion.threat import Images
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces
from fedrobust.runs.codec import read
from fedrobust.runs.record import DetectorRecord

UNAWARE = "pgd(steps=40)"
"""The attack on the model alone."""

AWARE = (
    "pgd(steps=40, restarts=2, target={}, loss='cross-entropy')",
    "pgd(steps=40, restarts=2, target={}, loss='margin')",
)
"""The attacks on model and detector together, towards each wrong class in turn."""

WITHOUT = "verdict, checks and attacks are of the model without its detector, which is measured by itself"
"""Note of a card with a detector."""


class Guarded:
    """A model behind a detector whose threshold is set on validation images.

    Args:
        opened: the model.
        dataset: means and the like are fitted to one half of its validation images, the threshold to the other.
        detector: settings of the detector.
        rate: share of clean images on which the model may abstain.

    Raises:
        ConfigError: there are fewer than 20 validation images.
        ModelError: the detector needs a last Dense layer, which the model has not.
    """

    def __init__(self, opened: OpenedModel, dataset: Dataset, detector: Detector, rate: float):
        self.opened, self.detector, self.rate = opened, detector, rate
        validation = dataset.validation
        if len(validation) < FEWEST:
            raise ConfigError(
                f"{len(validation)} validation images: detector and threshold are fitted to {FEWEST} or more"
            )
        shown = validation.images.astype(np.float32) / np.float32(255)
        order = np.argsort(validation.labels, kind="stable")  # both halves have all classes
        fit, rest = np.sort(order[0::2]), np.sort(order[1::2])
        score = detector.fitted(
            Seen(shown[fit], validation.labels[fit].astype(np.int32), self.answers, self.features)
        )
        scores = np.concatenate(
            [np.asarray(score(tf.constant(part))) for part in np.array_split(shown[rest], 8)]
        )
        self.threshold, self.fitted_on, self.threshold_on = threshold_of(scores, rate), len(fit), len(rest)
        guard = guarded(self.answers, score, self.threshold)
        compiled = CompiledModel(
            lambda held, images: guard(images), [], opened.target.shape, opened.target.classes + 1
        )
        self.target = through_roundings(BoundModel(compiled, (), opened.target.batch_size))

    def abstains(self, images: Images) -> NDArray[np.bool_]:
        """Return where the model gives no answer to `images`, (n,)."""
        found: NDArray[np.bool_] = self.target.logits(images).argmax(axis=1) == self.opened.target.classes
        return found

    def answers(self, images: Any) -> Any:
        """Return the model's logits (n, classes) of `images`, within a graph."""
        return self.opened.target.compiled.answers(self.opened.target.weights, images)

    @cached_property
    def features(self) -> Callable[[Any], Any]:
        """The function from images to the inputs of the last Dense layer."""
        opened = self.opened

        def features(images: Any) -> Any:
            return self._layers(opened.prepared(images), training=False)

        return features

    @cached_property
    def _layers(self) -> Any:
        return features_of(self.opened.keras, self.opened.name)


def detection(
    model: str | Path | Any,
    dataset: Dataset,
    detector: Detector,
    threat: Threat,
    epsilon: float,
    *,
    rate: float = 0.05,
    split: str = "test",
    images: int = 0,
    seed: int = 0,
    interfaces: Interfaces = NONE_DECLARED,
) -> dict[str, Any]:
    """Open a model and return what `detected` finds, with its name, its digest, the data and notes.

    Args:
        model: a ``.keras`` file, a run folder or a Keras model.
        dataset: its images.
        detector: settings of the detector.
        threat: the threat model.
        epsilon: of the attacks.
        rate: share of clean validation images on which the model may abstain.
        split: of the data set.
        images: number of images of the split, stratified by class; 0: all.
        seed: of the attacks.
        interfaces: declared input format, class order and output head.

    Raises:
        ModelFileError, ModelError, ConfigError: an argument does not fit.
    """
    check_unseen(split)
    stored, labels, described = chosen_split(dataset, split, images)
    opened, digest, notes = opened_with_digest(model, dataset, "native", split, interfaces)
    guard = Guarded(with_gradient(opened), dataset, detector, rate)
    found = detected(guard, opened.images(stored), labels, threat, epsilon, seed)
    return {"model": opened.name, "digest": digest, "data": described, "notes": list(notes), **found}


def check_unseen(split: str) -> None:
    """Refuse to measure a detector on the images that it is fitted to.

    Raises:
        ConfigError: it is the validation split.
    """
    if split == "validation":
        raise ConfigError(
            'split = "validation": detector and threshold are fitted to these images; choose "test", "train", or '
            'detector = "none" in an audit'
        )


def detected(
    guard: Guarded,
    images: Images,
    labels: Labels,
    threat: Threat,
    epsilon: float,
    seed: int = 0,
    map: Map = map,
) -> dict[str, Any]:
    """Return what a detector costs on clean images, and what is left of it under attack, as plain data.

    An image is robust if it is answered, and rightly, without an attack, and no attacked image within epsilon is
    answered wrongly. Abstaining on a clean image counts as an error, abstaining on an attacked one does not (Tramer,
    2022, arXiv:2107.11630, section 2).

    Args:
        guard: the model behind its detector.
        images: (n, height, width, channels) float32 in [0, 1].
        labels: (n,) the true classes.
        threat: the threat model.
        epsilon: of the attacks.
        seed: of the attacks.
        map: runs chunks of images in parallel.
    """
    labels, classes = labels.astype(np.int32), guard.opened.target.classes
    clean = guard.target.logits(images)
    answered, right = clean.argmax(1) < classes, clean[:, :classes].argmax(1) == labels
    alone = through_roundings(guard.opened.target)
    done = attack(alone, images, labels, UNAWARE, threat, [epsilon], seed, map=map)
    assert done.images is not None
    unaware = guard.target.logits(done.images[0]).argmax(1)
    fooled, unaware_wrong = done.success[0] & right, (unaware != labels) & (unaware < classes)
    standing = answered & right & ~unaware_wrong
    for spec in AWARE:
        for target in range(classes):
            rows = np.flatnonzero(standing & (labels != target))
            if len(rows):
                aimed = attack(
                    guard.target,
                    images[rows],
                    labels[rows],
                    spec.format(target),
                    threat,
                    [epsilon],
                    seed,
                    keep_images=False,
                    places=rows,
                    map=map,
                )
                standing[rows[aimed.success[0]]] = False
    return {
        "detector": {
            "settings": repr(guard.detector),
            "rate": guard.rate,
            "threshold": guard.threshold,
            "fitted-on": guard.fitted_on,
            "threshold-on": guard.threshold_on,
        },
        "threat": {"norm": threat.norm, "epsilon": epsilon},
        "attacks": {
            "unaware": UNAWARE,
            "aware": " + ".join(AWARE).format(*("each wrong class",) * len(AWARE)),
        },
        "n": len(labels),
        "clean": {
            "without-detector": share(right),
            "coverage": share(answered),
            "false-alarms": share(~answered),
            "right": share(answered & right),
            "right-of-answered": share(right[answered]) if answered.any() else None,
        },
        "attacked": {
            "robust-without-detector": share(right & ~fooled),
            "fooled-and-detected": share(unaware[fooled] == classes) if fooled.any() else None,
            "robust-unaware": share(answered & right & ~unaware_wrong),
            "robust": share(standing),
        },
    }


def behind(card: Card, found: dict[str, Any]) -> Card:
    """Return an audit's card with what `detected` found; the verdict stays that of the model without its detector."""
    detector = read(DetectorRecord, found)
    return replace(card, record=replace(card.record, detector=detector, notes=(*card.record.notes, WITHOUT)))


def with_gradient(opened: Opened) -> OpenedModel:
    """Return `opened` if it has a gradient.

    Raises:
        ConfigError: it has none.
    """
    if not isinstance(opened, OpenedModel):
        raise ConfigError(
            f"{opened.name}: a function; a detector is attacked along the gradients of a Keras model"
        )
    return opened
