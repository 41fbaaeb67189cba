"""Open an untrusted Keras file, or raise an error that says why it cannot be opened."""

import json
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fedrobust.epsilon import shortened
from fedrobust.errors import FedrobustError, first_line
from fedrobust.lazy import keras
from fedrobust.models.weight_bound import OversizedError, bounded
from fedrobust.paths import absent
from fedrobust.temporary import temporary_files_in

MOST_CONFIG_BYTES = 2**26
"""Most bytes of ``config.json``, which Keras parses as a whole; the largest of Keras' applications has 2 MB."""

MOST_LAYERS = 5000

MOST_UNPACKED = 2**30
MOST_RATIO = 50
"""An archive is refused that unpacks to more bytes than the first number and than its size times the second."""

FOREIGN = {
    ".onnx": "an ONNX model",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".ckpt": "a checkpoint, which holds weights without their network",
    ".safetensors": "a file of weights without their network",
    ".tflite": "a LiteRT file, which has no gradients; give it as --edge beside the Keras model it was made from",
    ".pb": "a TensorFlow graph",
    ".json": "a text file",
    ".pkl": "a pickle, which could run code and is never loaded",
}
"""Other model files, by file name extension."""

FUNCTION = "fedrobust.audit_model takes any function predict(images), of whatever library"

WANTED = "wanted: a .keras file as model.save() of Keras 3 writes it, or a run folder"


class ModelFileError(FedrobustError, ValueError):
    """A model file cannot be used; the message says why and what to do."""


def check_readable(path: Path) -> None:
    """Refuse a path that is not a readable file.

    Raises:
        ModelFileError: it does not exist, is a folder, or cannot be read.
    """
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            raise ModelFileError(
                f"{path}: a TensorFlow SavedModel, which Keras 3 does not open; where the model was made, save it with "
                f'model.save("model.keras") and give that file; or in Python: {FUNCTION}'
            )
        raise ModelFileError(f"{path}: a folder, but not a run's; {WANTED}")
    if not path.exists() and (path.parent / "experiment.toml").exists():
        raise ModelFileError(
            f"{path}: there is no such file: the run in this folder has not written its model"
        )
    try:
        with path.open("rb"):
            return
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: {absent(path, 'file')}") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error


def load_keras(path: Path) -> Any:
    """Return the Keras model in a file; code in the file is not run.

    Raises:
        ModelFileError: the file does not exist, or Keras cannot open it safely.
    """
    check_readable(path)
    ending = path.suffix.lower()
    if ending in FOREIGN:
        raise ModelFileError(f"{path}: {FOREIGN[ending]}; {WANTED}; or in Python: {FUNCTION}")
    if ending not in (".keras", ".h5", ".hdf5"):
        raise ModelFileError(f"{path}: a name that ends in {ending or 'nothing'}; {WANTED}")
    if ending != path.suffix:
        raise ModelFileError(
            f"{path}: Keras goes by the ending in small letters; rename it to end in {ending}"
        )
    _check_kind(path)
    config = _config(path) if ending == ".keras" else _legacy_config(path)
    if config is not None:
        _refuse_lambda(path, config)
        _refuse_many_layers(path, config)
    try:
        with warnings.catch_warnings(), bounded(path.stat().st_size):
            warnings.simplefilter("ignore")
            with temporary_files_in("fedrobust-opening-"):
                model = keras.models.load_model(path, compile=False)
    except (
        Exception,
        SystemExit,
    ) as error:  # not an archive, an unknown layer, another version, too little memory
        if isinstance(error, OversizedError):
            raise ModelFileError(f"{path}: {error}") from error
        version = _legacy_version(path) if ending != ".keras" else ""
        raise ModelFileError(f"{path}: {_reason(error, config, version)}") from error
    check_finite(model, str(path))
    return model


def check_finite(model: Any, name: str) -> None:
    """Refuse a model with weights that are not finite.

    Raises:
        ModelFileError: a weight is NaN or infinite.
    """
    for variable in model.weights:
        try:
            array = np.asarray(variable.numpy())
        except (AttributeError, TypeError, ValueError):
            continue
        wrong = int(np.size(array) - np.isfinite(array).sum()) if array.dtype.kind == "f" else 0
        if wrong:
            raise ModelFileError(
                f"{name}: {wrong} of {array.size} numbers of {variable.path} are NaN or infinite: its training "
                "diverged; give a model with finite weights"
            )


def _check_kind(path: Path) -> None:
    """Refuse an HDF5 file named ``.keras`` and an archive named ``.h5``: Keras goes by the name.

    Raises:
        ModelFileError: its first bytes are those of the other kind.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if path.suffix == ".keras" and start == b"\x89HDF":
        raise ModelFileError(f"{path}: an HDF5 file, as Keras 2 writes them; rename it to end in .h5")
    if path.suffix != ".keras" and start == b"PK\x03\x04":
        raise ModelFileError(f"{path}: an archive of Keras 3; rename it to end in .keras")


def _legacy_config(path: Path) -> Any:
    """Return the parsed configuration of an HDF5 file; None if it has none."""
    try:
        with h5py.File(path, "r") as file:
            written = file.attrs.get("model_config")
            return json.loads(written) if written and len(written) <= MOST_CONFIG_BYTES else None
    except (OSError, ValueError, RuntimeError, KeyError, RecursionError, TypeError):
        return None


def _legacy_version(path: Path) -> str:
    """Return the version of Keras that wrote an HDF5 file; empty if it is not recorded."""
    try:
        with h5py.File(path, "r") as file:
            version = file.attrs.get("keras_version", "")
            return version.decode(errors="replace") if isinstance(version, bytes) else str(version)
    except (OSError, ValueError, RuntimeError, KeyError):
        return ""


def _config(path: Path) -> Any:
    """Return the parsed ``config.json`` of a ``.keras`` archive.

    Raises:
        ModelFileError: it is not such an archive, too large, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total, packed = sum(member.file_size for member in members), path.stat().st_size
            if total > MOST_UNPACKED and total > MOST_RATIO * packed:
                raise ModelFileError(
                    f"{path}: {packed:,} bytes that unpack to {total:,}: refused, no model is packed as tightly"
                )
            if strange := [name for name in archive.namelist() if _leads_out(name)]:
                raise ModelFileError(
                    f"{path}: its member {shortened(strange[0])} lies outside of the archive: no model is written so"
                )
            about = archive.getinfo("config.json")
            if about.file_size > MOST_CONFIG_BYTES:
                raise ModelFileError(
                    f"{path}: its config.json has {about.file_size:,} bytes; allowed: {MOST_CONFIG_BYTES:,}"
                )
            return json.loads(archive.read(about))
    except KeyError as error:
        raise ModelFileError(f"{path}: Keras cannot open it: it holds no config.json; {WANTED}") from error
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path}: Keras cannot open it, it is damaged or of another kind ({first_line(error)}); {WANTED}"
        ) from error
    except zlib.error as error:
        raise ModelFileError(f"{path}: damaged ({error}); copy or save it again") from error


def _leads_out(member: str) -> bool:
    return member.startswith(("/", "\\")) or ".." in member.replace("\\", "/").split("/")


def _refuse_many_layers(path: Path, config: Any) -> None:
    layers = sum("inbound_nodes" in each or "build_config" in each for each in _objects(config))
    if layers > MOST_LAYERS:
        raise ModelFileError(
            f"{path}: it has {layers:,} layers; allowed: {MOST_LAYERS:,}, and Keras' largest networks have a thousand"
        )


def _refuse_lambda(path: Path, config: Any) -> None:
    for layer in _objects(config):
        if layer.get("class_name") == "Lambda":
            inner = layer.get("config")
            name = inner.get("name", "") if isinstance(inner, dict) else ""
            raise ModelFileError(
                f"{path}: its layer {name!r} is a Lambda: Python code in a file, which is not run. Rebuild the model "
                "with Keras' own layers; or, if you trust the file, open it in Python with safe_mode=False and hand "
                "the model to fedrobust.attack_model or audit_model"
            )


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a Keras configuration, at any depth."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str):
                yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _reason(error: BaseException, config: Any, version: str = "") -> str:
    unknown = {f"{each['class_name']!r}" for each in _objects(config) if _is_unknown(each)}
    if unknown:
        return (
            f"Keras does not know {', '.join(sorted(unknown))}, of which the file holds no code: rebuild the model "
            "with Keras' own layers; or register the class in Python (keras.saving.register_keras_serializable), open "
            "the file there, and hand the model to fedrobust.attack_model or audit_model"
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "the model does not fit into this machine's memory"
    if "No model config found" in str(error) or "No model found in config" in str(error):
        return f"it holds weights without their network; {WANTED}"
    if version[:2] in ("1.", "2."):
        return (
            f"written by Keras {version}, which Keras 3 cannot open ({shortened(first_line(error))}); open it with the "
            "Keras that wrote it and hand fedrobust.audit_model a function predict(images) that calls it, or build the "
            "network anew in Keras 3 and load its weights"
        )
    return f"Keras cannot open it ({first_line(error)}); {WANTED}"


def _is_unknown(described: dict[str, Any]) -> bool:
    """Return whether an object of a configuration has a class that is not Keras' own."""
    if str(described.get("registered_name") or described["class_name"]).count(">"):
        return True
    if "module" in described:
        return described["module"] is None or not _is_keras(described["module"])
    # In HDF5 files classes have no modules, and layers list their inbound nodes.
    return (
        "inbound_nodes" in described
        and not hasattr(keras.layers, described["class_name"])
        and (described["class_name"] not in ("Functional", "Model", "Sequential"))
    )


def _is_keras(module: Any) -> bool:
    return not isinstance(module, str) or module.partition(".")[0] in (
        "keras",
        "builtins",
        "numpy",
        "tensorflow",
    )
