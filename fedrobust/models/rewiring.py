"""Keras models made to take one batch of float images, and to answer with one row of logits an image.

The models given stay as they are: layers are shared, not copied.
"""

from typing import Any

from fedrobust.errors import first_line
from fedrobust.lazy import keras
from fedrobust.models.ending import ending
from fedrobust.models.keras_file import ModelFileError

OWN_FUNCTION = (
    "or hand fedrobust.audit_model a function predict(images) that calls it (see its documentation)"
)


def with_one_input(model: Any, name: str, native: tuple[int, int, int]) -> Any:
    """Return the model as one of a single tensor of images.

    A dictionary with one entry becomes that entry; a model that shows nothing of its layers is put behind an input of
    the data's shape.

    Raises:
        ModelFileError: it takes several inputs, or no images.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return _functional(model, name, native)
    if len(inputs) != 1:
        listed = ", ".join(f"{each.name!r} {tuple(each.shape[1:])}" for each in inputs)
        raise ModelFileError(
            f"{name}: it takes {len(inputs)} inputs ({listed}); one batch of images is wanted: fix the others in a "
            f"Keras model of the images alone, {OWN_FUNCTION}"
        )
    if len(inputs[0].shape) != 4:
        raise ModelFileError(
            f"{name}: its input is {tuple(inputs[0].shape)}; one batch of images is wanted, (n, height, width, "
            f"channels): put a Reshape layer before it, {OWN_FUNCTION}"
        )
    # A sequential model has no attribute `input` before it was called.
    is_dictionary = isinstance(getattr(model, "input", None), dict)
    return keras.Model(inputs[0], model.output) if is_dictionary else model


def with_one_head(model: Any, name: str, head: str, classes: int) -> tuple[Any, str]:
    """Return the model with one of its outputs alone, and that output's name where there were several.

    Args:
        model: a functional model.
        name: for messages.
        head: name or number, from 0; empty for the only one that fits the data.
        classes: of the data.

    Raises:
        ModelFileError: there is no such output, or not one alone that fits.
    """
    outputs, structure = dict(zip(_names(model), model.outputs, strict=True)), getattr(model, "output", None)
    if len(outputs) == 1 and not isinstance(structure, dict | list | tuple) and not head:
        return model, ""
    listed = ", ".join(
        f"{number}: {each!r} {tuple(tensor.shape[1:])}"
        for number, (each, tensor) in enumerate(outputs.items())
    )
    if head:
        chosen = list(outputs)[int(head)] if head.isdecimal() and int(head) < len(outputs) else head
        if chosen not in outputs:
            raise ModelFileError(f"{name}: head = {head!r}: it has no such output; choose one of {listed}")
        return keras.Model(model.inputs[0], outputs[chosen]), chosen if len(outputs) > 1 else ""
    wanted = (classes, 1) if classes == 2 else (classes,)
    fitting = [
        each for each, tensor in outputs.items() if len(tensor.shape) == 2 and tensor.shape[1] in wanted
    ]
    if len(fitting) != 1:
        raise ModelFileError(
            f"{name}: it has {len(outputs)} outputs, {listed}; name the one that tells the data's {classes} classes: "
            f"--head {next(iter(fitting or outputs))}"
        )
    return keras.Model(model.inputs[0], outputs[fitting[0]]), fitting[0] if len(outputs) > 1 else ""


def with_open_input(model: Any, name: str) -> Any:
    """Return the model for any number of float32 images, where it was made for a fixed number or for whole numbers.

    Raises:
        ModelFileError: something in it depends on the number.
    """
    if not _is_closed(model):
        return model
    try:
        return _opened(model)
    except Exception as error:  # whatever its layers raise
        raise ModelFileError(
            f"{name}: it takes batches of exactly {model.inputs[0].shape[0] or 'any number of'} images of "
            f"{model.inputs[0].dtype} ({first_line(error)}); save it with an input of float32 whose batch is None"
        ) from error


def without_activation(model: Any) -> tuple[Any, bool]:
    """Return the model up to its logits, and whether a softmax or sigmoid was taken off its end."""
    if not ending(model):
        return model, False
    history = model.outputs[0]._keras_history
    last = history.operation
    before = last._inbound_nodes[history.node_index].input_tensors
    if isinstance(last, keras.Model):
        inner, _ = without_activation(last)
        return keras.Model(model.inputs[0], inner(before[0])), True
    is_nothing_else = type(last).__name__ in ("Softmax", "Sigmoid", "Activation")
    if is_nothing_else:
        return keras.Model(model.inputs[0], before[0]), True
    bare = type(last).from_config({**last.get_config(), "activation": "linear"})
    outputs = bare(before[0])
    bare.set_weights(last.get_weights())
    return keras.Model(model.inputs[0], outputs), True


def _functional(model: Any, name: str, native: tuple[int, int, int]) -> Any:
    inputs = keras.Input(native)
    try:
        return keras.Model(inputs, model(inputs))
    except Exception as error:  # whatever its own code raises
        raise ModelFileError(
            f"{name}: a model that shows nothing of its layers, and does not take images of {native} "
            f"({first_line(error)}); build it with keras.Input and keras.Model, {OWN_FUNCTION}"
        ) from error


def _names(model: Any) -> list[str]:
    """Return a name for every output: the key of a dictionary, else that of the layer."""
    structure = getattr(model, "output", None)
    if isinstance(structure, dict):
        by_tensor = {id(tensor): key for key, tensor in structure.items()}
        names = [by_tensor.get(id(tensor), "") for tensor in model.outputs]
    else:
        names = list(getattr(model, "output_names", None) or [""] * len(model.outputs))
    is_told_apart = len(set(names)) == len(names) and all(names)
    return list(map(str, names if is_told_apart else range(len(model.outputs))))


def _is_closed(model: Any) -> bool:
    inputs = getattr(model, "inputs", None) or ()
    return any(
        each.shape[0] is not None or not keras.backend.is_float_dtype(each.dtype) for each in inputs
    ) or any(_is_closed(layer) for layer in getattr(model, "layers", ()) if isinstance(layer, keras.Model))


def _opened(model: Any) -> Any:
    """Return a functional model with the same layers behind inputs of float32 and any number of images."""

    def kept(layer: Any) -> Any:
        return _opened(layer) if isinstance(layer, keras.Model) and _is_closed(layer) else layer

    inputs = keras.Input(model.inputs[0].shape[1:], dtype="float32")
    return keras.models.clone_model(model, clone_function=kept, input_tensors=inputs)
