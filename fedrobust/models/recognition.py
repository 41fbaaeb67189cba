"""Recognise a Keras model's pixel range from its first layers."""

from typing import Any

import numpy as np

from fedrobust.lazy import keras
from fedrobust.models.input_format import InputFormat

PASSED_OVER = (
    "InputLayer",
    "Resizing",
    "CenterCrop",
    "ZeroPadding2D",
    "Identity",
    "Concatenate",
    "GaussianNoise",
    "Flip",
    "GetItem",
    "Stack",
    "Cast",
    "Permute",
    "Transpose",
    "Dropout",
    "UpSampling2D",
)
"""Layers and operations that do not change the pixel range."""


def recognised_range(model: Any) -> InputFormat | None:
    """Return the pixel range that a model's own scaling layers imply; None if it has none.

    Used are `Rescaling`, `Normalization` and arithmetic before any other computation, also in nested models. Their
    output range must be one that networks are usually trained on: of a width near 1, or 8-bit values minus a mean.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()])
        >>> str(recognised_range(model))
        '0..255'
    """
    if not _is_float(model):
        return InputFormat(0.0, 255.0, whole=True)
    scale, offset, is_scaled = 1.0, 0.0, False
    for node in _first_nodes(model):
        found = _affine(node)
        if found is None:
            break
        factor, shift = found
        scale, offset = factor * scale, factor * offset + shift
        is_scaled = is_scaled or found != (1.0, 0.0)
    return _taken(scale, offset) if is_scaled else None


def _taken(scale: float, offset: float) -> InputFormat | None:
    """Return the pixel range for which ``scale * pixel + offset`` is meant.

    Example:
        >>> [str(_taken(*pair)) for pair in ((1 / 127.5, -1), (4.4, -2.1), (0.5, 0.5), (255, -103.9), (1, -103.9))]
        ['0..255', '0..1', '-1..1', '0..1', '0..255']
    """
    if not scale > 0:
        return None
    if scale < MOST_OF_8_BIT:
        return InputFormat(0.0, 255.0 if scale > MOST_OF_16_BIT else 65535.0)
    if scale < LEAST_OF_UNIT:
        return None
    # The pixel value that becomes 0 is the darkest, or the mean: it lies within the range.
    centre = -offset / scale
    if centre > 1.5:
        return InputFormat(0.0, 255.0)
    return InputFormat(-1.0, 1.0) if centre < -0.01 else InputFormat()


MOST_OF_8_BIT = 1 / 8
"""Factor below which pixels are in 0 to 255; 1/255 and 1/127.5 are usual."""

MOST_OF_16_BIT = 1 / 4096
"""Factor below which pixels are in 0 to 65535."""

LEAST_OF_UNIT = 1 / 4
"""Factor from which pixels are in 0 to 1 (or -1 to 1)."""


def _is_float(model: Any) -> bool:
    inputs = getattr(model, "inputs", None) or ()
    return all(keras.backend.is_float_dtype(each.dtype) for each in inputs)


def _first_nodes(model: Any) -> list[Any]:
    """Return the chain of layer calls and operations from a model's input up to the first branch.

    Copies of one tensor (grey to colour), and channels that are split and stacked again, do not count as branches.
    """
    chain: list[Any] = []
    tensor = next(iter(getattr(model, "inputs", None) or ()), None)
    nodes = _nodes(model)
    while tensor is not None:
        takers = _takers([tensor], nodes)
        if len(takers) > 1 and all(type(node.operation).__name__ == "GetItem" for node in takers):
            takers = _takers([out for node in takers for out in node.output_tensors], nodes)
        elif takers and any(each is not tensor for each in takers[0].input_tensors):
            break
        if len(takers) != 1:
            break
        operation = takers[0].operation
        if isinstance(operation, keras.Model):
            return chain + _first_nodes(operation)
        chain.append(takers[0])
        outputs = takers[0].output_tensors
        tensor = outputs[0] if len(outputs) == 1 else None
    return chain


def _takers(tensors: list[Any], nodes: list[Any]) -> list[Any]:
    """Return the calls that have any of these tensors as input."""
    return [
        node for node in nodes if any(each is tensor for each in node.input_tensors for tensor in tensors)
    ]


def _nodes(model: Any) -> list[Any]:
    by_depth = getattr(getattr(model, "_functional", None) or model, "_nodes_by_depth", {})
    return [node for nodes in by_depth.values() for node in nodes]


def _affine(node: Any) -> tuple[float, float] | None:
    """Return factor and offset of a scaling layer, averaged over channels; (1, 0) if it does not scale."""
    layer = node.operation
    kind = type(layer).__name__
    if kind in PASSED_OVER or kind.startswith("Random"):
        return 1.0, 0.0
    if kind == "Rescaling":
        return float(np.mean(np.asarray(layer.scale))), float(np.mean(np.asarray(layer.offset)))
    if kind == "Normalization" and not layer.invert:
        mean, variance = (
            np.asarray(keras.ops.convert_to_numpy(part)) for part in (layer.mean, layer.variance)
        )
        deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
        return float(np.mean(1 / deviation)), float(np.mean(-mean / deviation))
    return _arithmetic(kind, node.arguments.args)


def _arithmetic(kind: str, arguments: tuple[Any, ...]) -> tuple[float, float] | None:
    """Return factor and offset of ``images * number``, ``/``, ``+``, ``-``, and the same with the number first."""
    places = [place for place, each in enumerate(arguments) if isinstance(each, keras.KerasTensor)]
    if len(arguments) != 2 or len(places) != 1:
        return None
    try:
        number = float(np.mean(np.asarray(arguments[1 - places[0]], np.float64)))
    except (TypeError, ValueError):
        return None
    first = places[0] == 0
    if kind in ("Divide", "TrueDivide"):
        return (1 / number, 0.0) if number and first else None
    subtracted = (1.0, -number) if first else (-1.0, number)
    return {"Multiply": (number, 0.0), "Add": (1.0, number), "Subtract": subtracted}.get(kind)
