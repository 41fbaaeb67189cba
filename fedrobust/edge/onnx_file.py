"""ONNX files: written by tf2onnx, run by ONNX Runtime, both of the extra ``onnx``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedrobust.edge.about import About
from fedrobust.edge.errors import ExportError
from fedrobust.edge.interpreter import Images, LiteRTFileError, Logits, unit_images
from fedrobust.edge.rescaling import convolve_rescalings
from fedrobust.errors import first_line
from fedrobust.temporary import temporary_files_in

if TYPE_CHECKING:
    import keras

OPSET = 17
"""Version of ONNX's operations: of 2022, which runtimes of 2023 and later read."""

KEY = "fedrobust"
"""Of the labels in ``metadata_props``."""

EXTRA = "pip install 'fedrobust[onnx]'"


def onnx_content(model: "keras.Model", shape: tuple[int, ...], about: About | None) -> bytes:
    """Return the content of an ONNX file of `model`: "images" (n, height, width, channels) to "logits" (n, classes).

    Args:
        model: takes float32 images in [0, 1], returns logits.
        shape: (height, width, channels).
        about: labels and input, for the file's ``metadata_props``; None: left out.

    Raises:
        ExportError: tf2onnx is not installed, or lacks one of the model's operations.
    """
    import tensorflow as tf

    try:
        import tf2onnx
    except ImportError as error:
        raise ExportError(f"onnx needs tf2onnx ({error}): {EXTRA}, or leave the format out") from error
    # Constants of the graph itself: tf2onnx would make inputs of what a function captures.
    model = convolve_rescalings(model)
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]

    def logits(images: Any) -> Any:
        held = [[tf.constant(array) for array in arrays] for arrays in (trainable, others)]
        return tf.identity(model.stateless_call(*held, images, training=False)[0], name="logits")

    function = tf.function(logits, autograph=False)
    signature = [tf.TensorSpec((None, *shape), tf.float32, name="images")]
    try:
        with temporary_files_in("fedrobust-conversion-"):
            content, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    except Exception as error:  # tf2onnx raises various errors
        raise ExportError(f"the model cannot be exported as onnx: {first_line(error)}") from error
    if about is not None:
        entry = content.metadata_props.add()
        entry.key, entry.value = KEY, json.dumps(about.to_json())
    written = bytes(content.SerializeToString())
    # tf2onnx only logs operations that it does not know.
    try:
        session_of(written)
    except LiteRTFileError as error:
        raise ExportError(f"the model cannot be exported as onnx: {error}") from error
    return written


def session_of(file: Path | bytes, threads: int = 1) -> Any:
    """Return ONNX Runtime's session of a file, or of the content of one.

    Raises:
        LiteRTFileError: ONNX Runtime is not installed or cannot open it.
    """
    name = "ONNX Runtime" if isinstance(file, bytes) else f"{file}: ONNX Runtime"
    try:
        import onnxruntime
    except ImportError as error:
        raise LiteRTFileError(f"{name} is missing ({error}): {EXTRA}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    given = file if isinstance(file, bytes) else str(file)
    try:
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises types of its own
        raise LiteRTFileError(f"{name} cannot open it: {first_line(error)}") from error


def about_in(metadata: Mapping[str, str], path: Path) -> About | None:
    """Return what an ``.onnx`` file at `path` says of itself in its `metadata`; None if it says nothing.

    Raises:
        LiteRTFileError: what it says cannot be read.
    """
    try:
        return About.of(json.loads(metadata[KEY])) if KEY in metadata else None
    except (ValueError, RecursionError) as error:
        raise LiteRTFileError(
            f"{path}: its metadata {KEY!r} are damaged: {error}; export the model again"
        ) from error


@dataclass(frozen=True)
class OnnxInterpreter:
    """An ONNX file with the methods of `fedrobust.edge.interpreter.Interpreter`; make it with `OnnxInterpreter.open`.

    Args:
        path: of the file.
        threads: threads of one inference.
        batch: how many images run at once.
        image_shape: (height, width, channels) of its input.
        session: ONNX Runtime's.
    """

    path: Path
    threads: int
    batch: int
    image_shape: tuple[int, ...]
    session: Any = field(repr=False, compare=False)
    _held: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path, threads: int = 1, batch: int = 64) -> "OnnxInterpreter":
        """Open the file at `path`.

        Raises:
            LiteRTFileError: ONNX Runtime is not installed or cannot open it.
        """
        session = session_of(path, threads)
        shape = session.get_inputs()[0].shape
        return cls(path, threads, batch, tuple(int(side) for side in shape[1:]), session)

    @property
    def about(self) -> About | None:
        """What the file says of itself; None if it says nothing.

        Raises:
            LiteRTFileError: what it says cannot be read.
        """
        return about_in(self.session.get_modelmeta().custom_metadata_map, self.path)

    def logits(self, images: Images) -> Logits:
        """Return the logits of `images`, shape (n, classes) float32; see `Interpreter.logits`."""
        checked = unit_images(images, self.image_shape)
        parts = []
        for start in range(0, len(checked), self.batch):
            self.load(checked[start : start + self.batch])
            self.invoke()
            parts.append(self.read())
        return np.concatenate(parts)

    def load(self, images: Images) -> None:
        """Keep `images` as the next batch."""
        self._held["images"] = images

    def invoke(self) -> None:
        """Run the loaded batch, the step that is timed."""
        name = self.session.get_inputs()[0].name
        self._held["logits"] = self.session.run(None, {name: self._held["images"]})[0]

    def read(self) -> Logits:
        """Return the logits of the last batch, (n, classes) float32."""
        logits: Logits = self._held["logits"]
        return logits
