"""The formats of exported files, and the settings of LiteRT's converter for each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fedrobust.edge.errors import ExportError

if TYPE_CHECKING:
    from fedrobust.edge.interpreter import Images


@dataclass(frozen=True)
class Format:
    """The tensor types of an exported file.

    Args:
        name: as in its file name, ``<stem>.<name><suffix>``.
        interface: type of its input and of its output.
        foreign: types that no tensor of the file may have.
        calibrated: whether it needs training images, which give the ranges of activations.
        suffix: of its file name.
    """

    name: str
    interface: str = "float32"
    foreign: frozenset[str] = frozenset()
    calibrated: bool = False
    suffix: str = ".tflite"


FORMATS = {
    "float32": Format("float32", foreign=frozenset({"int8", "float16"})),
    "float16": Format("float16", foreign=frozenset({"int8"})),
    # The converter chooses the weights to quantise: in a tiny model, none.
    "dynamic": Format("dynamic"),
    "int8": Format("int8", interface="int8", foreign=frozenset({"float32", "float16"}), calibrated=True),
    "int16x8": Format("int16x8", foreign=frozenset({"float16"}), calibrated=True),
    "onnx": Format("onnx", suffix=".onnx"),
}


def check_installed(formats: Iterable[str]) -> None:
    """Check that what writes and runs the files of these formats is installed, without importing it.

    Raises:
        ExportError: the extra of ONNX is missing.
    """
    missing = [name for name in ("tf2onnx", "onnxruntime") if find_spec(name) is None]
    if "onnx" in formats and missing:
        raise ExportError(
            f"onnx needs {' and '.join(missing)}: pip install 'fedrobust[onnx]', or leave the format out"
        )


def settle(converter: Any, form: Format, calibration: "Images | None") -> None:
    """Set LiteRT's `converter` to a format.

    Args:
        converter: a ``tf.lite.TFLiteConverter``.
        form: the format; not "onnx".
        calibration: training images of calibrated formats, (n, height, width, channels) in [0, 1].
    """
    import tensorflow as tf

    kinds = tf.lite.OpsSet
    operations = {
        "int8": kinds.TFLITE_BUILTINS_INT8,
        "int16x8": kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    }
    converter.target_spec.supported_ops = [operations.get(form.name, kinds.TFLITE_BUILTINS)]
    if form.name != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form.name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form.calibrated and calibration is not None:
        converter.representative_dataset = one_by_one(calibration)
    if form.interface == "int8":
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8


def one_by_one(images: "Images") -> "Callable[[], Iterator[list[Images]]]":
    """Return a function that yields `images` for the converter's calibration, in batches of one."""
    return lambda: ([image[None]] for image in images)
