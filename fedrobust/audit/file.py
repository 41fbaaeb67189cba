"""The audit of a model in a file, by somebody who never ran a federation."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.audit.card import Card, audit
from fedrobust.audit.evidence import Evidence, Report
from fedrobust.audit.finding import Finding
from fedrobust.audit.outputs import SAMPLE
from fedrobust.audit.plan import Plan
from fedrobust.audit.subject import Subject
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.data.medmnist import NAMES, published
from fedrobust.errors import first_line
from fedrobust.evasion import Target
from fedrobust.evasion.attack import Map
from fedrobust.evasion.model_file import OpenedModel, open_model
from fedrobust.evasion.target import Labels, Logits, Slopes
from fedrobust.evasion.threat import Images
from fedrobust.evasion.victim import NotDifferentiableError
from fedrobust.models.keras_file import check_readable
from fedrobust.paths import expanded


class ExportedTarget:
    """An exported LiteRT file as a target: it answers, and has no gradient.

    Args:
        path: of the ``.tflite`` file.
    """

    def __init__(self, path: Path):
        import threading

        from fedrobust.edge.interpreter import Interpreter

        self._interpreter = Interpreter.open(path)
        self._lock = threading.Lock()
        height, width, channels = self._interpreter.image_shape
        self.shape = (height, width, channels)
        self.classes = int(self.logits(np.zeros((1, *self.shape), np.float32)).shape[1])

    def logits(self, images: Images) -> Logits:
        """Return the file's logits, one thread at a time."""
        if not len(images):
            return np.zeros((0, self.classes), np.float32)
        with self._lock:
            return self._interpreter.logits(np.clip(images, 0.0, 1.0))

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Raise: an exported file has no gradient."""
        raise NotDifferentiableError("a LiteRT file has no gradient")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex.

    Raises:
        ModelFileError: it cannot be read.
    """
    check_readable(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_path(path: str | Path, base: Path | None = None) -> Path:
    """Return the Keras file that a path means: itself, or the global model of a run folder."""
    given = Path(path)
    found = expanded(given)
    if base is not None and not given.is_absolute() and not found.exists():
        found = expanded(base / given)
    is_run = (found / "model.keras").exists() or (found / "experiment.toml").exists()
    return found / "model.keras" if is_run else found


def companion(
    path: str | Path, dataset: Dataset, space: str, base: Path | None = None
) -> tuple[str, Target] | None:
    """Return a model to compare with, and its name with its digest; None for no path."""
    if not str(path):
        return None
    file = model_path(path, base)
    opened = open_model(file, dataset.image_shape, dataset.classes, space)
    return f"{file.name} {file_digest(file)[:8]}", opened.target


def edge_companion(path: str | Path, dataset: Dataset) -> tuple[str, Target] | None:
    """Return an exported file to compare with; None for no path.

    Raises:
        ConfigError: it takes other images, or answers with other classes.
    """
    if not str(path):
        return None
    file = expanded(path)
    if not file.is_file():
        raise ConfigError(f"edge = {str(path)!r}: there is no such file")
    try:
        exported = ExportedTarget(file)
    except Exception as error:  # LiteRT raises many kinds for a file that it cannot read
        raise ConfigError(
            f"edge = {str(path)!r}: not a LiteRT file of images with float32 or int8 input and output: "
            f"{first_line(error)}"
        ) from error
    if exported.shape != dataset.image_shape or exported.classes != dataset.classes:
        raise ConfigError(
            f"edge = {str(path)!r}: it takes images of {exported.shape} and knows {exported.classes} classes; the data "
            f"have {dataset.image_shape} and {dataset.classes}"
        )
    return f"{file.name} {file_digest(file)[:8]}", exported


def chosen_split(dataset: Dataset, split: str, images: int) -> tuple[np.ndarray, Labels, dict[str, Any]]:
    """Return stored images and labels of a split, `images` of them (0: all), and what a card says of them.

    Raises:
        ConfigError: there is no such split.
    """
    if split not in dataset.splits:
        raise ConfigError(f"split = {split!r}: choose one of {', '.join(dataset.splits)}")
    part = dataset.splits[split]
    chosen = part.sample(images)
    described = {
        "name": dataset.name,
        "digest": dataset.digest,
        "split": split,
        "labels": list(dataset.label_names),
        "disease": list(dataset.disease),
        "official": official(dataset),
    }
    return chosen.images, chosen.labels, described


def official(dataset: Dataset) -> int | None:
    """Return how many test images the set has that others report on under this name; None for own data."""
    if dataset.name not in NAMES:
        return None
    about = published(dataset.name)
    # An own file may bear the name of a published set; its images are then not those that others report on.
    addresses = {address for address, _ in about.files.values()}
    return about.counts[2] if dataset.source in addresses else None


def audit_file(
    model: str | Path | Any,
    dataset: Dataset,
    plan: Plan,
    *,
    split: str = "test",
    images: int = 0,
    control: str | Path = "",
    teacher: str | Path = "",
    edge: str | Path = "",
    trained_on: Sequence[str] = (),
    history: Sequence[float] = (),
    folder: Path | None = None,
    map: Map = map,
    report: Report = lambda name, progress: None,
    note: Callable[[Finding], None] = lambda finding: None,
    **about: Any,
) -> Card:
    """Audit a Keras model on a data set.

    Args:
        model: a ``.keras`` file, a run folder, or a Keras model.
        dataset: its images.
        plan: threat and effort.
        split: of the data set.
        images: so many of the split, of every class its share; 0 for all.
        control: the same model without its defence.
        teacher: the model that it was distilled from.
        edge: its exported LiteRT file.
        trained_on: names of the attacks that its training used.
        history: accuracies under PGD-5 in training.
        folder: where attacks are kept, so that an interrupted audit goes on.
        map: runs chunks of images side by side.
        report: called with an attack's name and progress.
        note: called with every finding.
        about: further entries of the card.

    Raises:
        ModelFileError, ConfigError: something given does not fit the data.
    """
    space = plan.threat.space
    opened, digest = opened_with_digest(model, dataset, space)
    stored, labels, described = chosen_split(dataset, split, images)
    native = stored.astype(np.float32) / np.float32(255)
    notes = []
    if opened.preparation.replicates or opened.preparation.resizes:
        notes.append(
            f"the model takes images of {opened.preparation.prepared}; those of {opened.preparation.native} are made "
            "to fit before it"
        )
    subject = Subject(
        name=opened.name,
        target=opened.target,
        images=opened.target.victim.images(stored),
        labels=labels,
        digest=digest,
        data=described,
        output=opened.output,
        in_training_mode=lambda: opened.answers(native[:SAMPLE], training=True),
        control=companion(control, dataset, space),
        teacher=companion(teacher, dataset, space),
        edge=edge_companion(edge, dataset),
        trained_on=tuple(trained_on),
        history=tuple(history),
        notes=tuple(notes),
    )
    return audit(Evidence(subject, plan, folder, map, report), note, **about)


def opened_with_digest(model: Any, dataset: Dataset, space: str) -> tuple[OpenedModel, str]:
    """Return a model from a file, a run folder or memory, and the SHA-256 of it.

    One in memory is known by its layers and weights; where its layers cannot be written down, by nothing: what attacks
    found is then not found again.
    """
    file = model_path(model) if isinstance(model, str | Path) else model
    opened = open_model(file, dataset.image_shape, dataset.classes, space)
    return opened, model_digest(model)


def model_digest(model: Any) -> str:
    """Return the SHA-256 of a model in a file, a run folder or memory.

    Raises:
        ModelFileError: there is no such file.
    """
    if isinstance(model, str | Path):
        return file_digest(model_path(model))
    try:
        layers = model.to_json()
    except (NotImplementedError, TypeError, ValueError):
        layers = os.urandom(16).hex()
    sha = hashlib.sha256(layers.encode())
    for array in model.get_weights():
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
