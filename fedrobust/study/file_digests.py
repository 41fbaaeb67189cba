"""Digests of what a study reads from files beside its images and its network."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.data.annotations import are_named
from fedrobust.data.dataset import Dataset
from fedrobust.data.search_path import resolve
from fedrobust.evaluation.surrogate_file import with_surrogate_file
from fedrobust.models.network_file import DIGITS, file_digest

if TYPE_CHECKING:
    from fedrobust.study.study import Study

KEPT_NAMES = ("random", "imagenet", "file")
"""Values of ``model.weights`` that are no file, or a published one that the name identifies."""


def file_digests(study: "Study") -> dict[str, str]:
    """Return the first digits of the SHA-256 of each file, by what it is; empty where a study reads none.

    ``weights``: the weights file that ``model.weights`` names; ``public``: the file of ``distillation.public``;
    ``surrogates``: the models of surrogates that ``evaluation.attacks`` name, together;
    ``annotations``: names of classes, disease and sites in an own file of images, which `Dataset.digest` does not
    cover. They are part of the hash of a sweep's cell, and a resumed run must find the same.

    Args:
        study: of which.

    Raises:
        DataError: a file does not exist.

    Example:
        >>> from fedrobust.config import Experiment
        >>> from fedrobust.study import Study
        >>> file_digests(Study.of(Experiment.of(data__samples=50)))
        {}
    """
    experiment, found = study.experiment, {}
    data, distillation = experiment.data, experiment.distillation
    if experiment.model.weights not in KEPT_NAMES:
        found["weights"] = file_digest(resolve(experiment.model.weights, study.base, data.root))[:DIGITS]
    if distillation.enabled and _is_file(distillation.public):
        found["public"] = file_digest(resolve(distillation.public, study.base, data.root))[:DIGITS]
    surrogates = [file_digest(path) for path in _surrogates(study)]
    if surrogates:
        found["surrogates"] = hashlib.sha256("".join(surrogates).encode()).hexdigest()[:DIGITS]
    if data.clients or _is_file(data.name):
        annotations = _annotations(study.dataset)
        found |= {"annotations": annotations} if annotations else {}
    return found


def _is_file(name: str) -> bool:
    return name.lower().endswith(".npz")


def _surrogates(study: "Study") -> list[Path]:
    """Return the files of the surrogates that the study's attacks name, in their order."""
    root = study.experiment.data.root
    found: list[Any] = [
        with_surrogate_file(spec, study.base, root) for spec in study.experiment.evaluation.attacks
    ]
    return [Path(each.surrogate) for each in found if not isinstance(each, str)]


def _annotations(dataset: Dataset) -> str:
    """Return the digest of class names, disease and sites; empty where a file has none of them."""
    sites = [
        None if each is None else each.of_images.tolist()
        for each in (dataset.sites, dataset.validation_sites, dataset.test_sites)
    ]
    if not (are_named(dataset.label_names) or dataset.disease or any(sites)):
        return ""
    text = json.dumps([dataset.label_names, dataset.disease, sites], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
