"""A user's own network: a function as an architecture, and the checks of its model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fedrobust.errors import first_line, told
from fedrobust.lazy import keras
from fedrobust.models.architecture import ModelError
from fedrobust.models.ending import ending
from fedrobust.models.preparation import Shape


def own_features(name: str, build: Callable[..., Any]) -> Callable[[Shape], keras.Model]:
    """Return a user's function as one from a prepared shape to a checked Keras model of features.

    Args:
        name: its dotted path, for messages.
        build: ``(height, width, channels) -> keras.Model``, or ``((height, width, channels)) -> keras.Model``.
    """

    def features(shape: Shape) -> keras.Model:
        arguments = shape if takes_three(build) else (shape,)
        try:
            model = build(*arguments)
        except (Exception, SystemExit) as error:  # raised by the user's code
            raise ModelError(
                f'model "{name}": building it for images of {shape} ends in '
                f"{told(error)}; it is called as build(height, width, channels)"
            ) from error
        return checked_features(name, model, shape)

    return features


def takes_three(build: Callable[..., Any]) -> bool:
    """Return whether a function takes height, width and channels as three arguments rather than as a tuple.

    Example:
        >>> takes_three(lambda height, width, channels: None), takes_three(lambda shape, filters=8, depth=2: None)
        (True, False)
    """
    try:
        parameters = list(inspect.signature(build).parameters.values())
    except (TypeError, ValueError):  # a function written in C, or no function
        return True
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if any(each.kind == each.VAR_POSITIONAL for each in parameters):
        return len(places) != 1
    needed = [each for each in places if each.default is each.empty]
    return len(needed) > 1 or (len(places) >= 3 and places[0].name == "height")


def checked_features(name: str, model: Any, shape: Shape) -> keras.Model:
    """Return a user's model, checked to map a batch of images to one feature vector an image.

    Raises:
        ModelError: it has other inputs or outputs, ends in probabilities, or has a random state.
    """
    wanted = f"wanted: a keras.Model from images {(None, *shape)} to one vector an image"
    if not isinstance(model, keras.Model):
        raise ModelError(f'model "{name}": it returned {type(model).__name__}; {wanted}')
    try:
        inputs, outputs = model.inputs, model.outputs
        taken, given = [tuple(each.shape) for each in inputs], [tuple(each.shape) for each in outputs]
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            f'model "{name}": a subclassed model, whose layers cannot be inspected; build it with '
            "keras.Input and keras.Model"
        ) from error
    if len(taken) != 1 or taken[0][1:] != tuple(shape):
        raise ModelError(f'model "{name}": it takes {taken}; {wanted}')
    if not keras.backend.is_float_dtype(inputs[0].dtype):
        raise ModelError(
            f'model "{name}": it takes images of {inputs[0].dtype}, which have no gradient; build it with '
            'keras.Input(..., dtype="float32")'
        )
    if len(given) != 1 or len(given[0]) != 2 or given[0][1] is None:
        raise ModelError(
            f'model "{name}": it returns {given}; {wanted}: end it with keras.layers.GlobalAveragePooling2D or Flatten'
        )
    end = ending(model)
    if end == "softmax" or (end == "sigmoid" and given[0][1] == 1):
        raise ModelError(
            f'model "{name}": it ends in {end}, in probabilities of classes; {wanted}: leave the classification layer '
            "out, the logits are put on top of the features"
        )
    # Dropout is replaced by one without a state, see `fedrobust.models.dropout`.
    passed_over = (keras.layers.Dropout, keras.layers.SpatialDropout2D)
    dropped = {
        id(state) for layer in model.layers if layer.__class__ in passed_over for state in layer.variables
    }
    states = [
        variable
        for variable in model.variables
        if str(variable.dtype) != "float32" and id(variable) not in dropped
    ]
    if states:
        raise ModelError(
            f'model "{name}": {states[0].path} is a state of {states[0].dtype} numbers, such as the random generator '
            "of RandomFlip: clients exchange float32 weights and statistics alone; leave that layer out"
        )
    return _with_free_batch(name, model, shape) if taken[0][0] is not None else model


def _with_free_batch(name: str, model: keras.Model, shape: Shape) -> keras.Model:
    """Return a model with a fixed batch size as one of any batch size."""
    try:
        return keras.models.clone_model(model, input_tensors=keras.Input(shape))
    except Exception as error:  # raised by its layers
        raise ModelError(
            f'model "{name}": it takes exactly {model.inputs[0].shape[0]} images at a time ({first_line(error)}); '
            "build it with keras.Input((height, width, channels))"
        ) from error
