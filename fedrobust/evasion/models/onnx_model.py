"""An ONNX file as a target of attacks by queries: ONNX Runtime computes no gradients.

ONNX Runtime is imported inside of a function: it is an extra.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.errors import first_line
from fedrobust.evasion.models.adapter import Adapter
from fedrobust.models.keras_file import ModelFileError, check_readable

NO_GRADIENT = (
    "an ONNX file has no gradient: attacked by queries only; for gradient attacks give the model that it was exported "
    "from, as in fedrobust.audit_model(fedrobust.torch_model(net), ...)"
)


@dataclass(frozen=True, eq=False)
class OnnxModel(Adapter):
    """The network in an ONNX file.

    Attributes:
        path: of the file.
        session: ONNX Runtime's.
        output: name of its output.
        input_shape: (height, width, channels) of its images; None: any.
        channels_first: whether it takes (n, channels, height, width).
        batch: the number of images that it takes at a time; 0: any.
    """

    path: Path
    session: Any
    output: str
    input_shape: tuple[int | None, int | None, int | None]
    channels_first: bool
    batch: int

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
    def metadata(self) -> dict[str, str]:
        """The file's ``metadata_props``."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs (n, classes) for `images` (n, height, width, channels) float32."""
        given = images.transpose(0, 3, 1, 2) if self.channels_first else images
        given = np.ascontiguousarray(given, np.float32)
        size = self.batch or len(given)
        parts = [
            self._answers(given[start : start + size], size) for start in range(0, len(given), size or 1)
        ]
        return np.concatenate(parts)

    def _answers(self, given: np.ndarray, size: int) -> np.ndarray:
        filled = np.concatenate([given, np.zeros((size - len(given), *given.shape[1:]), np.float32)])
        answers = self.session.run([self.output], {self.session.get_inputs()[0].name: filled})[0]
        return np.asarray(answers)[: len(given)]


def onnx_model(path: Path) -> OnnxModel:
    """Return the network in an ONNX file.

    Raises:
        ModelFileError: it cannot be opened, has several inputs or outputs, or it cannot be told where the channels are;
            or ONNX Runtime is not installed.
    """
    check_readable(path)
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelFileError(
            f"{path}: an ONNX model, for which ONNX Runtime is needed ({error}): pip install 'fedrobust[onnx]'"
        ) from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ModelFileError(
            f"{path}: ONNX Runtime cannot open it, it is damaged or of a newer kind: {first_line(error)}"
        ) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        listed = ", ".join(f"{each.name!r} {each.type} {each.shape}" for each in inputs)
        raise ModelFileError(f"{path}: it takes {listed}; wanted: one batch of float32 images, four axes")
    if len(outputs) != 1:
        raise ModelFileError(
            f"{path}: it has the outputs {', '.join(repr(each.name) for each in outputs)}; export it with the one of "
            "the classes alone"
        )
    sides = [side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape]
    first = _channels_first(path, sides)
    channels, height, width = (sides[1], sides[2], sides[3]) if first else (sides[3], sides[1], sides[2])
    return OnnxModel(path, session, outputs[0].name, (height, width, channels), first, sides[0] or 0)


def _channels_first(path: Path, sides: list[int | None]) -> bool:
    """Return whether the second axis is that of the channels, of which images have 1 or 3."""
    first, last = sides[1] in (1, 3), sides[3] in (1, 3)
    if first == last:
        raise ModelFileError(
            f"{path}: it takes images of {sides}, where channels are first or last: it cannot be told; export it with "
            "a fixed number of channels, or hand fedrobust.audit_model a function predict(images) that calls it"
        )
    return first
