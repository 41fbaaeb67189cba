"""A LiteRT file alone as a target of attacks by queries: it has no gradient."""

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.audit.exported import shown_format
from fedrobust.edge.interpreter import Interpreter
from fedrobust.evasion.models.adapter import Adapter
from fedrobust.models.input_format import InputFormat
from fedrobust.models.keras_file import check_readable

NO_GRADIENT = (
    "a LiteRT file has no gradient: attacked by queries only; for gradient attacks give the Keras model that it was "
    "exported from, and this file as its edge (--edge FILE.tflite)"
)


@dataclass(frozen=True, eq=False)
class LiteRTModel(Adapter):
    """The network in a ``.tflite`` file, run by one thread at a time.

    Attributes:
        path: of the file.
        interpreter: LiteRT's.
        input_shape: (height, width, channels) of its images.
    """

    path: Path
    interpreter: Interpreter
    input_shape: tuple[int | None, int | None, int | None]
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The file's name."""
        return self.path.name

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def shown(self) -> tuple[InputFormat | None, str]:
        """The input format that the file shows, and what shows it; None where nothing does."""
        return shown_format(self.path, self.interpreter.input_code)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs (n, classes) for `images` (n, height, width, channels) float32 in its own format."""
        parts, size = [], self.interpreter.batch
        with self._lock:
            for start in range(0, len(images), size):
                self.interpreter.load(np.ascontiguousarray(images[start : start + size], np.float32))
                self.interpreter.invoke()
                parts.append(self.interpreter.read())
        return np.concatenate(parts)


def litert_model(path: Path) -> LiteRTModel:
    """Return the network in a ``.tflite`` file.

    Raises:
        ModelFileError: there is no such file.
        LiteRTFileError: it is no LiteRT model of images.
    """
    check_readable(path)
    interpreter = Interpreter.open(path)
    height, width, channels = interpreter.image_shape
    return LiteRTModel(path, interpreter, (height, width, channels))


def is_litert(path: str | Path) -> bool:
    """Return whether a path is that of a LiteRT file, by its name.

    Example:
        >>> is_litert("student.int8.tflite"), is_litert("student.keras")
        (True, False)
    """
    return Path(path).suffix.lower() == ".tflite"
