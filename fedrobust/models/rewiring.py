"""Adapt Keras models to one float32 batch of images as input, and one row of logits an image as output.

The given models are not changed; layers are shared, not copied.
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
    """Return the model with a single tensor of images as input.

    A dictionary with one entry becomes that entry; a subclassed model is called on an input of the data's shape.

    Raises:
        ModelFileError: it has several inputs, or does not take images.
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
    # A sequential model has no attribute `input` before its first call.
    is_dictionary = isinstance(getattr(model, "input", None), dict)
    return keras.Model(inputs[0], model.output) if is_dictionary else model


def with_one_head(model: Any, name: str, head: str, classes: int) -> tuple[Any, str]:
    """Return the model with a single output, and that output's name if there were several.

    Args:
        model: a functional model.
        name: of the model, for messages.
        head: name or number of an output, from 0; empty: the only one with `classes` classes.
        classes: number of the data's classes.

    Raises:
        ModelFileError: there is no such output, or several or none have `classes` classes.
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
    """Return the model with an input of any number of float32 images.

    Raises:
        ModelFileError: a layer depends on the batch size or on integer input.
    """
    if not _is_closed(model):
        return model
    try:
        return _opened(model)
    except Exception as error:  # raised by its layers
        raise ModelFileError(
            f"{name}: it takes batches of exactly {model.inputs[0].shape[0] or 'any number of'} images of "
            f"{model.inputs[0].dtype} ({first_line(error)}); save it with an input of float32 whose batch is None"
        ) from error


def without_activation(model: Any) -> tuple[Any, bool]:
    """Return the model up to its logits, and whether a final softmax or sigmoid was removed."""
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
    except Exception as error:  # raised by its own code
        raise ModelFileError(
            f"{name}: a subclassed model, whose layers cannot be inspected and which does not take images of {native} "
            f"({first_line(error)}); build it with keras.Input and keras.Model, {OWN_FUNCTION}"
        ) from error


def _names(model: Any) -> list[str]:
    """Return a name for every output: its key in a dictionary, else its layer's name."""
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
    """Return a functional model of the same layers with float32 inputs of any batch size."""

    def kept(layer: Any) -> Any:
        return _opened(layer) if isinstance(layer, keras.Model) and _is_closed(layer) else layer

    inputs = keras.Input(model.inputs[0].shape[1:], dtype="float32")
    return keras.models.clone_model(model, clone_function=kept, input_tensors=inputs)
