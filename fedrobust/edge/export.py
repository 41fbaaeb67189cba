"""Convert a Keras model to LiteRT and ONNX files, and check the types of their tensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.atomic import atomic
from fedrobust.edge.about import About
from fedrobust.edge.device_files import write_device_files
from fedrobust.edge.errors import ExportError, NoIntegerFormError
from fedrobust.edge.formats import FORMATS, Format, settle
from fedrobust.edge.interpreter import Images, unit_images
from fedrobust.edge.noise import without_noise
from fedrobust.edge.onnx_file import onnx_content
from fedrobust.edge.rescaling import convolve_rescalings
from fedrobust.errors import first_line
from fedrobust.models.layers import inner_layers
from fedrobust.temporary import temporary_files_in, temporary_folder

if TYPE_CHECKING:
    import keras


def export(
    model: "keras.Model",
    folder: Path,
    formats: Sequence[str] = ("float32", "int8"),
    calibration: Images | None = None,
    *,
    stem: str = "model",
    about: About | None = None,
) -> dict[str, Path]:
    """Write `model` as ``<stem>.<format>.tflite`` files with LiteRT's built-in operations only, or as ``<stem>.onnx``.

    "float32" keeps the weights; "float16" halves them, and computes in float32; "dynamic" stores large weights in int8
    and computes activations in float32; "int8" computes in int8 from input to output, "int16x8" with activations of 16
    and weights of 8 bits, with ranges seen on the calibration images; "onnx" is for ONNX Runtime (extra ``onnx``), in
    float32. The batch is dynamic. A file appears whole and checked, or not at all; an older one of the same name is
    replaced.

    Args:
        model: takes float32 images (n, height, width, channels) in [0, 1], returns logits (n, classes).
        folder: where to write; made if missing.
        formats: names of `FORMATS`.
        calibration: training images for "int8" and "int16x8", shape (n, height, width, channels), floats in [0, 1]; one
            to five hundred are enough.
        stem: first part of the file names.
        about: labels and input, written into every file, and beside them as ``labels.txt`` with ``classify.py``; None:
            nothing is written of them.

    Returns:
        The path of each format, in the order asked for.

    Raises:
        ValueError: a format is unknown, or the calibration images are missing or unfit.
        ExportError: the model has another interface, LiteRT lacks one of its operations, the file's tensors are not of
            the type asked for, or the converter of ONNX is not installed.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"formats = {list(formats)}: choose from {', '.join(FORMATS)}")
    shape = image_shape(model)
    check_precision(model)
    samples = None
    calibrated = [name for name in formats if FORMATS[name].calibrated]
    if calibrated:
        if calibration is None:
            raise ValueError(
                f'calibration = None: the format "{calibrated[0]}" needs training images to find its ranges'
            )
        samples = spanning(unit_images(calibration, shape))
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    with without_noise():
        inference = None
        for name in dict.fromkeys(formats):
            if name == "onnx":
                content = onnx_content(model, shape, about)
            else:
                inference = inference or inference_of(model, shape)
                content = converted(inference, FORMATS[name], samples)
                check_tensors(content, FORMATS[name])
                content = content if about is None else about.behind(content)
            paths[name] = folder / file_name(stem, name)
            with atomic(paths[name]) as draft:
                draft.write_bytes(content)
    if about is not None:
        write_device_files(folder, about)
    return paths


def file_name(stem: str, form: str) -> str:
    """Return the name of an exported file.

    Example:
        >>> file_name("student", "int8"), file_name("student", "onnx")
        ('student.int8.tflite', 'student.onnx')
    """
    return f"{stem}.onnx" if form == "onnx" else f"{stem}.{form}{FORMATS[form].suffix}"


def check_exportable(model: "keras.Model", formats: Sequence[str]) -> None:
    """Check that a model can be exported, by exporting it once to a temporary folder.

    Raises:
        ExportError: it cannot.
    """
    import numpy as np

    ramp = np.linspace(0, 1, 4, dtype=np.float32)[:, None, None, None]
    with temporary_folder("fedrobust-export-") as folder:
        export(model, folder, formats, np.ones((4, *image_shape(model)), np.float32) * ramp)


def image_shape(model: "keras.Model") -> tuple[int, ...]:
    """Return the input shape (height, width, channels) of `model`.

    Raises:
        ExportError: it does not take one batch of images of a fixed shape, or does not return one batch of
        logits.
    """
    inputs = [tuple(tensor.shape) for tensor in model.inputs]
    outputs = [tuple(tensor.shape) for tensor in model.outputs]
    if len(inputs) != 1 or len(inputs[0]) != 4 or None in inputs[0][1:]:
        raise ExportError(
            f"the model takes {inputs}: only one input (None, height, width, channels) can be exported"
        )
    if len(outputs) != 1 or len(outputs[0]) != 2:
        raise ExportError(f"the model returns {outputs}: only one output (None, classes) can be exported")
    return inputs[0][1:]


def check_precision(model: "keras.Model") -> None:
    """Check that a model computes in float32.

    Raises:
        ExportError: a layer computes in another precision, for which LiteRT has no operations.
    """
    for layer in inner_layers(model):
        if layer.compute_dtype in ("float16", "bfloat16"):
            raise ExportError(
                f"layer {layer.name!r} computes in {layer.compute_dtype} (mixed precision), which LiteRT does not; "
                'build the model anew with dtype="float32", and copy its weights, which are float32: '
                "new.set_weights(model.get_weights())"
            )


def spanning(calibration: Images) -> Images:
    """Return a copy of the calibration images whose range is exactly [0, 1].

    One corner of the first image becomes 0 and another 1. The input's scale is then 1 / 255 with zero point
    -128, so that every 8-bit image has exact codes, and no brighter image is clipped than those seen in
    calibration.
    """
    copy = calibration.copy()
    copy[0, 0, 0, 0] = 0.0
    copy[0, -1, -1, -1] = 1.0
    return copy


def inference_of(model: "keras.Model", shape: tuple[int, ...]) -> Any:
    """Return `model` as `traced` does, ready for calibration.

    Raises:
        ExportError: one of its layers raises.
    """
    try:
        return traced(convolve_rescalings(model), shape)
    except Exception as error:  # layers of a user's own network may raise anything
        raise ExportError(f"the model cannot be exported: {first_line(error)}") from error


def traced(model: "keras.Model", shape: tuple[int, ...]) -> Any:
    """Return `model` in inference mode as a concrete TensorFlow function of images (None, *shape).

    The weights are constants of its graph. A graph that reads variables would have to pass through a
    SavedModel with a restore step (five times slower here) or would fail, or answer NaN, in LiteRT.
    """
    import tensorflow as tf

    trainable = [tf.constant(variable.numpy()) for variable in model.trainable_variables]
    others = [tf.constant(variable.numpy()) for variable in model.non_trainable_variables]

    def logits(images: Any) -> Any:
        return model.stateless_call(trainable, others, images, training=False)[0]

    signature = tf.TensorSpec((None, *shape), tf.float32, name="images")
    return tf.function(logits, autograph=False).get_concrete_function(signature)


def converted(inference: Any, form: Format, calibration: Images | None) -> bytes:
    """Return the file content of the concrete function `inference` in the format `form`.

    Raises:
        ExportError: the converter refuses it; the cause tells all it said.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([inference], tf.Module())
    settle(converter, form, calibration)
    try:
        with temporary_files_in("fedrobust-conversion-"):
            return bytes(converter.convert())
    except Exception as error:
        message = f"the model cannot be exported as {form.name}: {reason(str(error))}"
        raise (NoIntegerFormError(message, form.name) if form.calibrated else ExportError(message)) from error


def reason(message: str) -> str:
    r"""Return the line of the converter's `message` with the unsupported operations, or its first line.

    Example:
        >>> reason("Could not translate MLIR to FlatBuffer.\nCustom ops: Betainc\nDetails: ...")
        'LiteRT has no built-in operation for: Betainc'
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    for line in lines:
        for kind in ("Custom ops: ", "Flex ops: "):
            if line.startswith(kind):
                return f"LiteRT has no built-in operation for: {line.removeprefix(kind)}"
    return lines[0] if lines else "the converter gave no reason"


def check_tensors(content: bytes, form: Format) -> None:
    """Compare the tensor types in a file's `content` with those of `form`.

    Raises:
        ExportError: an input, an output or a tensor between them is of another type.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Delegates would add their own tensors.
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    runtime = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    interface = [
        (role, details["dtype"].__name__)
        for role, tensors in (
            ("input", runtime.get_input_details()),
            ("output", runtime.get_output_details()),
        )
        for details in tensors
    ]
    if interface != [("input", form.interface), ("output", form.interface)]:
        found = ", ".join(f"{role} {kind}" for role, kind in interface)
        raise ExportError(f"{form.name} came out with {found}; its input and output must be {form.interface}")
    foreign = [
        f"{details['name']} ({details['dtype'].__name__})"
        for details in runtime.get_tensor_details()
        if details["dtype"].__name__ in form.foreign
    ]
    if foreign:
        found = f"{len(foreign)} foreign tensors, the first: {foreign[0]}"
        if not form.calibrated:
            raise ExportError(f"{form.name} came out with {found}")
        raise NoIntegerFormError(
            f"{form.name} cannot be written: an operation has no {form.name} form; dynamic, float16 and float32 "
            f"compute it in float32 ({found})",
            form.name,
        )
