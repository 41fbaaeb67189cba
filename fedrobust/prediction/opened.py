"""Open a run's model for predictions: its global model, its student, or an exported file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.conversion import NOT_KNOWN, Conversion
from fedrobust.defences.smoothing import holds_vote
from fedrobust.edge import runner as runtime
from fedrobust.edge.about import About, read_about
from fedrobust.edge.onnx_file import OnnxInterpreter
from fedrobust.models.keras_file import ModelFileError, load_keras
from fedrobust.paths import absent, expanded
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.record import DatasetRecord
from fedrobust.runtime import start_tensorflow

Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]

Function = tuple[tuple[int, ...], int, Logits]
"""(shape of an image, number of classes, images to logits)."""


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model and what its outputs mean.

    Attributes:
        path: of its file.
        labels: names of its outputs.
        multilabel: whether an image may have several of them.
        image_shape: (height, width, channels) of the images that it takes.
        logits: images (n, height, width, channels) float32 in [0, 1] to logits (n, classes); an exported file is shown
            what is outside clipped.
        votes: whether the file is known to hold a vote over noisy copies.
        conversion: how images became those of its data, as far as it is known.
    """

    path: Path
    labels: tuple[str, ...]
    multilabel: bool
    image_shape: tuple[int, ...]
    logits: Logits
    votes: bool = False
    conversion: Conversion = NOT_KNOWN


def opened(model: str | Path) -> OpenedModel:
    """Open a run's model, or an exported file.

    Args:
        model: a run folder, for its global model; a ``.keras`` file in a run folder, or beside a copy of the run's
            ``result.json``; a ``.tflite`` or ``.onnx`` file, which names its labels itself (older ones are read like
            ``.keras`` files).

    Raises:
        ModelFileError: there is no such model, or nothing tells what its outputs mean.
        LiteRTFileError, RunFolderError: a file is damaged.
    """
    given = expanded(model)
    path = given / "model.keras" if given.is_dir() else given
    if given.is_dir() and not (given / "experiment.toml").is_file():
        raise ModelFileError(f"{model}: a folder, but not a run's; give a run folder, or a model file in one")
    if not path.is_file():
        raise ModelFileError(
            f"{path}: there is no such file; the run has not written its model: finish it first"
            if given.is_dir()
            else f"{model}: neither a run folder nor a .keras, .tflite or .onnx file: {absent(model)}"
        )
    if path.suffix not in (".keras", ".tflite", ".onnx"):
        raise ModelFileError(f"{path}: allowed: a run folder, or a .keras, .tflite or .onnx file of a run")
    about, votes, (shape, classes, logits) = (_of_keras if path.suffix == ".keras" else _of_exported)(path)
    labels, multilabel, conversion = _meaning(path, about)
    if classes != len(labels):
        said = "its about.json" if about is not None else "the run in its folder"
        raise ModelFileError(
            f"{path}: {classes} outputs, but {said} has {len(labels)} classes: it is of another model"
        )
    if shape[0] != shape[1]:
        raise ModelFileError(f"{path}: takes images of {shape[1]} x {shape[0]}; allowed: square ones")
    return OpenedModel(path, labels, multilabel, shape, logits, votes, conversion)


def _meaning(path: Path, about: About | None) -> tuple[tuple[str, ...], bool, Conversion]:
    """Return the names of a model's outputs, whether an image may have several, and how images were converted."""
    if about is not None:
        return about.labels, about.multilabel, about.conversion
    dataset = _dataset(path)
    told = dataset.conversion
    conversion = Conversion(told.fit or "", told.window, told.white) if told else NOT_KNOWN
    return dataset.labels, dataset.multilabel, conversion


def _dataset(path: Path) -> DatasetRecord:
    """Return the record of the data of the run that a model is from."""
    try:
        dataset = RunFolder(path.parent).record().dataset
    except RunFolderError as error:
        if path.with_name("result.json").exists():
            raise
        raise ModelFileError(
            f"{path}: no result.json beside it, which names its classes; give a model in its run folder, or copy the "
            "run's result.json beside it"
        ) from error
    if dataset is None or not dataset.labels:
        raise ModelFileError(f"{path.with_name('result.json')}: names no classes; finish the run first")
    return dataset


def _of_keras(path: Path) -> tuple[None, bool, Function]:
    start_tensorflow()
    model = load_keras(path)

    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(model.predict(images, verbose=0))

    return None, holds_vote(model), (tuple(model.input_shape[1:]), int(model.output_shape[-1]), logits)


def _of_exported(path: Path) -> tuple[About | None, bool, Function]:
    runner = runtime.opened(path)
    about = runner.about if isinstance(runner, OnnxInterpreter) else read_about(path)
    shape = runner.image_shape

    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        # Noise leaves [0, 1], which a file's input does not: clipping is part of the model that is smoothed.
        return runner.logits(np.clip(images, 0.0, 1.0))

    votes = about is not None and about.defence.startswith("smoothing")
    return about, votes, (shape, logits(np.zeros((1, *shape), np.float32)).shape[1], logits)
