"""Open a model from a file, a run folder, memory or a function for an audit, and compute its digest."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.audit.class_names import check_classes, check_named_outputs
from fedrobust.audit.exported import ExportedTarget
from fedrobust.audit.litert_model import NO_GRADIENT as LITERT_HAS_NONE
from fedrobust.audit.litert_model import LiteRTModel, is_litert, litert_model
from fedrobust.audit.misreading import SAMPLE as SAMPLE_READ
from fedrobust.audit.misreading import check_reading
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.edge.about import About, read_about
from fedrobust.edge.onnx_file import about_in
from fedrobust.evasion.models.adapter import Adapter
from fedrobust.evasion.models.model_file import OpenedModel, open_model
from fedrobust.evasion.models.onnx_model import NO_GRADIENT, OnnxModel, onnx_model
from fedrobust.evasion.models.predictor import Gradient, Predictor
from fedrobust.evasion.models.protocol import Logits
from fedrobust.lazy import keras
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import Interface
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces
from fedrobust.models.keras_file import check_readable
from fedrobust.models.recognition import recognised_range
from fedrobust.paths import expanded
from fedrobust.runs.of_file import classes_of_run, is_of_run

Opened = OpenedModel | Predictor


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex.

    Raises:
        ModelFileError: it cannot be read.
    """
    check_readable(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_path(path: str | Path, base: Path | None = None) -> Path:
    """Return the Keras file of a path: itself, or the global model of a run folder."""
    given = Path(path)
    found = expanded(given)
    if base is not None and not given.is_absolute() and not found.exists():
        found = expanded(base / given)
    is_run = (found / "model.keras").exists() or (found / "experiment.toml").exists()
    return found / "model.keras" if is_run else found


def check_opened(
    opened: Opened | ExportedTarget, dataset: Dataset, split: str, interface: Interface, what: str = ""
) -> tuple[str, ...]:
    """Check the input format and class order of a model, and return notes.

    Raises:
        MisreadModelError: see `check_reading`.
    """
    part = dataset.splits[split].sample(min(SAMPLE_READ, len(dataset.splits[split])))
    images = part.images.astype(np.float32) / np.float32(255)
    note = check_reading(
        lambda format: opened.raw(images, format),
        images,
        part.labels,
        _channels(opened, images.shape[3]),
        opened.format,
        opened.labels,
        (interface.input is not None, bool(interface.labels)),
        what,
    )
    return (note,) if note else ()


def check_run_opened(
    opened: Opened | ExportedTarget,
    file: Path,
    dataset: Dataset,
    split: str,
    interfaces: Interfaces,
    what: str = "",
) -> tuple[str, ...]:
    """Check the class order of a model in a run folder, which takes images in [0, 1], and return notes.

    By the names of the classes of its run and of the data; where there are none, by its accuracy.

    Raises:
        ConfigError: see `check_classes`.
        MisreadModelError: another class order fits significantly better.
    """
    note = check_classes(classes_of_run(file), dataset, interfaces, what)
    if not note:
        return ()
    interface = replace(interfaces.of(what, dataset), input=opened.format)
    return (note, *check_opened(opened, dataset, split, interface, what))


def _channels(opened: Opened | ExportedTarget, native: int) -> int:
    """Return the number of channels of a model's images."""
    preparation = None if isinstance(opened, ExportedTarget) else opened.preparation
    return native if preparation is None else preparation.prepared[2]


def in_training_mode(opened: Opened, stored: np.ndarray) -> Callable[[], Logits] | None:
    """Return a function for the logits of `stored` images in training mode; None if the model is a function."""
    if isinstance(opened, Predictor):
        return None
    native = stored.astype(np.float32) / np.float32(255)
    return lambda: opened.answers(native, training=True)


def opened_with_digest(
    model: Any,
    dataset: Dataset,
    space: str,
    split: str = "test",
    interfaces: Interfaces = NONE_DECLARED,
    gradient: Gradient | None = None,
    name: str = "",
) -> tuple[Opened, str, tuple[str, ...]]:
    """Return (model, SHA-256, notes) of a file, a run folder, a Keras model, a function or an adapter.

    The digest of a model in memory is that of its layers and weights. Without a digest, for layers that cannot be
    serialised and functions without a name, results of attacks are not stored.

    Raises:
        ModelFileError, PredictorError, ConfigError: it cannot be used.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    interface = interfaces.of("", dataset)
    opened: Opened
    shown: InputFormat | None = None
    shown_by = ""
    about: About | None = None
    digest = model_digest(model, name)
    if isinstance(model, str | Path) and is_onnx(model):
        model = onnx_model(expanded(model))
    if isinstance(model, str | Path) and is_litert(model):
        model = litert_model(expanded(model))
        shown, shown_by = model.shown
        about = read_about(model.path)
    if isinstance(model, OnnxModel) and (about := about_in(model.metadata, model.path)):
        shown, shown_by = UNIT, "as its metadata say"
    interface = replace(interface, assumed=shown or interface.assumed)
    if is_function(model):
        if space != "native":
            raise ConfigError(f"space = {space!r}: a function takes the data's images; choose native")
        opened = Predictor.of(model, dataset.image_shape, dataset.classes, gradient, interface, name)
    else:
        if gradient is not None:
            raise ConfigError(f"gradient: it belongs to a function; {opened_name(model)} has its own")
        file = model_path(model) if isinstance(model, str | Path) else model
        opened = open_model(file, dataset.image_shape, dataset.classes, space, interface=interface)
    notes = list(opened.notes)
    made = opened.preparation
    if made is not None and (made.replicates or made.resizes):
        notes.append(
            f"the model takes images of {made.prepared}; those of {made.native} are made to fit before it"
        )
    if isinstance(model, OnnxModel) and gradient is None:
        notes.append(NO_GRADIENT)
    if isinstance(model, LiteRTModel):
        notes.append(LITERT_HAS_NONE)
    if isinstance(model, str | Path) and is_of_run(model_path(model)):
        notes += check_run_opened(opened, model_path(model), dataset, split, interfaces)
    else:
        check_named_outputs(about, dataset, interfaces)
        if interface.input is None and shown is not None:
            notes = [note for note in notes if not note.startswith("input format")]
            notes.append(f"input format {shown}: {shown_by}")
        elif interface.input is None and opened.format == UNIT:
            is_shown = isinstance(opened, OpenedModel) and recognised_range(opened.keras) is not None
            why = "as its first layers show" if is_shown else "assumed, neither given nor recognised"
            notes.append(f"input format 0..1: {why}")
        notes += check_opened(opened, dataset, split, interface)
    return opened, digest, tuple(notes)


def is_function(model: Any) -> bool:
    """Return whether a model is a function, neither a file nor a Keras model.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(model, str | Path | keras.Model):
        return False
    kinds = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if "torch" in kinds or not callable(model):
        what = "a PyTorch module" if "torch" in kinds else f"a {type(model).__name__}"
        raise ConfigError(
            f"model: {what}; hand in {'fedrobust.torch_model(net), or ' if 'torch' in kinds else ''}a function "
            "predict(images (n, height, width, channels) float32 in [0, 1]) -> logits (n, classes), and gradient=... "
            "beside it; docs/audit.md shows them"
        )
    return True


def is_onnx(path: str | Path) -> bool:
    """Return whether a path is that of an ONNX file, by its name."""
    return Path(path).suffix.lower() == ".onnx"


def is_known(model: Any, name: str) -> bool:
    """Return whether a model has a digest, so that results of attacks can be stored."""
    return bool(name) or isinstance(model, Adapter) or not is_function(model)


def opened_name(model: Any) -> str:
    """Return the name of a model in messages: its file's name, or its own."""
    if isinstance(model, str | Path):
        return expanded(model).name
    return str(getattr(model, "name", "") or getattr(model, "__name__", type(model).__name__))


def model_digest(model: Any, name: str = "") -> str:
    """Return the SHA-256 of a model in a file, a run folder or memory; of a function, that of its name.

    Raises:
        ModelFileError: the file does not exist.
    """
    if isinstance(model, str | Path):
        return file_digest(model_path(model))
    if isinstance(model, Adapter):
        return model.digest
    if is_function(model):
        return hashlib.sha256(name.encode() or os.urandom(16)).hexdigest()
    try:
        layers = model.to_json()
    except (NotImplementedError, TypeError, ValueError):
        layers = os.urandom(16).hex()
    sha = hashlib.sha256(layers.encode())
    for array in model.get_weights():
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
