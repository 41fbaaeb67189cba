"""A model that abstains where a detector is suspicious: the cost of abstaining, and attacks on both together."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.audit.certified import share
from fedrobust.audit.images import chosen_split
from fedrobust.audit.opened import Opened, opened_with_digest
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.detectors import Detector, Seen
from fedrobust.detectors.guard import features_of, guarded, threshold_of
from fedrobust.evasion import BoundModel, CompiledModel, Threat, attack
from fedrobust.evasion.models.model_file import OpenedModel
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces

UNAWARE = "pgd(steps=40)"
"""The attack on the model alone."""

AWARE = "pgd(steps=40, restarts=2, target={}, loss='cross-entropy')"
"""The attack on model and detector together, towards each wrong class in turn."""


class Guarded:
    """A model behind a detector whose threshold is set on validation images.

    Args:
        opened: the model.
        dataset: means and the like are fitted to one half of its validation images, the threshold to the other.
        detector: settings of the detector.
        rate: share of clean images on which the model may abstain.
    """

    def __init__(self, opened: OpenedModel, dataset: Dataset, detector: Detector, rate: float):
        self.opened = opened
        validation = dataset.validation
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
        self.target = BoundModel(compiled, (), opened.target.batch_size)

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
    """Return what a detector costs on clean images, and what is left of it under attack, as plain data.

    An image is robust if it is answered, and rightly, without an attack, and no attacked image within epsilon is
    answered wrongly. Abstaining on a clean image counts as an error, abstaining on an attacked one does not (Tramer,
    2022, arXiv:2107.11630, section 2).

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
    stored, labels, described = chosen_split(dataset, split, images)
    opened, digest, notes = opened_with_digest(model, dataset, "native", split, interfaces)
    guard = Guarded(_with_gradient(opened), dataset, detector, rate)
    shown, labels, classes = opened.images(stored), labels.astype(np.int32), opened.target.classes
    clean = guard.target.logits(shown)
    answered, right = clean.argmax(1) < classes, clean[:, :classes].argmax(1) == labels
    wrong = {"unaware": np.zeros(len(labels), bool), "aware": np.zeros(len(labels), bool)}
    done = attack(opened.target, shown, labels, UNAWARE, threat, [epsilon], seed)
    assert done.images is not None
    unaware = guard.target.logits(done.images[0]).argmax(1)
    wrong["unaware"] = (unaware != labels) & (unaware < classes)
    fooled = done.success[0]
    for target in range(classes):
        spec = AWARE.format(target)
        found = attack(guard.target, shown, labels, spec, threat, [epsilon], seed, keep_images=False)
        wrong["aware"] |= found.success[0] & (labels != target)
    both = wrong["aware"] | wrong["unaware"]
    return {
        "model": opened.name,
        "digest": digest,
        "data": described,
        "notes": list(notes),
        "detector": {
            "settings": repr(detector),
            "rate": rate,
            "threshold": guard.threshold,
            "fitted-on": guard.fitted_on,
            "threshold-on": guard.threshold_on,
        },
        "threat": {"norm": threat.norm, "epsilon": epsilon},
        "attacks": {"unaware": UNAWARE, "aware": AWARE.format("each wrong class")},
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
            "robust-unaware": share(answered & right & ~wrong["unaware"]),
            "robust": share(answered & right & ~both),
        },
    }


def _with_gradient(opened: Opened) -> OpenedModel:
    if not isinstance(opened, OpenedModel):
        raise ConfigError(
            f"{opened.name}: a function; a detector is attacked along the gradients of a Keras model"
        )
    return opened
