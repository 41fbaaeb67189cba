"""Certified accuracy of a model of any origin under randomised smoothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.audit.attack_cache import Report
from fedrobust.audit.images import chosen_split
from fedrobust.audit.opened import opened_with_digest
from fedrobust.data.dataset import Dataset
from fedrobust.defences.smoothing import VOTE_IS_SMOOTHED, holds_vote
from fedrobust.evaluation.intervals import wilson
from fedrobust.evaluation.smoothing import ABSTAINS, Certificate, Smoothing
from fedrobust.evasion.models.model_file import OpenedModel, open_model
from fedrobust.evasion.models.predictor import Predict
from fedrobust.evasion.run import Map, Progress
from fedrobust.models.interface import Interface
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces
from fedrobust.randomness import Purpose, generator


def certified(
    model: str | Path | Predict | Any,
    dataset: Dataset,
    smoothing: Smoothing,
    radii: Sequence[float],
    *,
    split: str = "test",
    images: int = 0,
    seed: int = 0,
    interfaces: Interfaces = NONE_DECLARED,
    name: str = "",
    base: tuple[Any, str] = (None, ""),
    map: Map = map,
    report: Report = lambda name, progress: None,
) -> dict[str, Any]:
    """Return the certified accuracy of a smoothed model at each radius, as plain data.

    Args:
        model: a ``.keras``, ``.onnx`` or ``.tflite`` file, a run folder, a Keras model, or a function of images.
        dataset: its images.
        smoothing: noise, samples and confidence.
        radii: l2, in units of [0, 1], ascending.
        split: of the data set.
        images: number of images of the split, stratified by class; 0: all.
        seed: of the noise.
        interfaces: declared input format, class order and output head.
        name: of a function.
        base: the Keras model that is smoothed in place of `model`, and what it is, in a sentence; None: `model` itself.
        map: runs images in parallel.
        report: called with a name and the progress.

    Raises:
        ModelFileError, PredictorError, ConfigError: an argument does not fit the data.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    stored, labels, described = chosen_split(dataset, split, images)
    opened, digest, notes = opened_with_digest(model, dataset, "native", split, interfaces, None, name)
    shown = opened.images(stored)
    classes, found = opened.target.classes, []
    smoothed = opened.target
    if base[0] is None and isinstance(opened, OpenedModel) and holds_vote(opened.keras):
        notes = (*notes, VOTE_IS_SMOOTHED)
    if base[0] is not None:
        same_order = Interface(labels=opened.labels)
        smoothed = open_model(base[0], dataset.image_shape, dataset.classes, interface=same_order).target

    def one(place: int) -> Certificate:
        draw = generator(seed, Purpose.SMOOTHING, 0, place)
        return smoothing.certify(smoothed.logits, shown[place], classes, draw)

    for done, certificate in enumerate(map(one, range(len(shown))), start=1):
        found.append(certificate)
        report("randomised smoothing", Progress(done, len(shown) - done))
    without = opened.target.logits(shown).argmax(axis=1)
    return {
        "model": opened.name,
        "digest": digest,
        "data": described,
        "notes": [*notes, *filter(None, base[1:])],
        "smoothing": {
            "sigma": smoothing.sigma,
            "selection": smoothing.selection,
            "samples": smoothing.samples,
            "alpha": smoothing.alpha,
            "largest-radius": smoothing.largest_radius,
            "seed": seed,
        },
        "n": len(labels),
        "unsmoothed": share(without == labels),
        "smoothed": share(np.array([each.label for each in found]) == labels),
        "abstains": share(np.array([each.label == ABSTAINS for each in found])),
        "majority": share(labels == np.bincount(labels).argmax()),
        "certified": [at_radius(found, labels, radius) for radius in radii],
        "images": [
            {"label": int(label), "answer": each.label, "radius": each.radius, "share": each.share}
            for label, each in zip(labels, found, strict=True)
        ],
    }


def at_radius(found: Sequence[Certificate], labels: np.ndarray, radius: float) -> dict[str, Any]:
    """Return the share of images that are given their label with at least `radius`, in all and as a mean over classes.

    Example:
        >>> found = [Certificate(1, 0.5, 1.0), Certificate(0, 0.2, 0.9), Certificate(1, 0.9, 1.0)]
        >>> at_radius(found, np.array([1, 0, 0]), 0.3)["accuracy"]["successes"]
        1
    """
    right = np.array([each.label for each in found]) == labels
    holds = right & (np.array([each.radius for each in found]) >= radius)
    recalls = [float(holds[labels == label].mean()) for label in np.unique(labels)]
    return {"radius": radius, "accuracy": share(holds), "balanced-accuracy": float(np.mean(recalls))}


def share(hits: np.ndarray) -> dict[str, Any]:
    """Return a share of images with its number and its 95 % interval (Wilson)."""
    successes, n = int(hits.sum()), len(hits)
    return {"value": successes / n, "successes": successes, "n": n, "interval": wilson(successes, n)}
