"""The final activation of a network: softmax, sigmoid, or none."""

from __future__ import annotations

from typing import Any

from fedrobust.lazy import keras


def ending(model: Any) -> str:
    """Return ``"softmax"`` or ``"sigmoid"`` where one of them computes the output of a model, else an empty string.

    It is the operation that computes the output, which need not be the last layer created, also in a nested model.
    """
    operation = last_operation(model)
    if isinstance(operation, keras.Model):
        return ending(operation)
    named = {"Softmax": "softmax", "Sigmoid": "sigmoid"}.get(type(operation).__name__, "")
    ends = {keras.activations.softmax: "softmax", keras.activations.sigmoid: "sigmoid"}
    return named or ends.get(getattr(operation, "activation", None), "")


def last_operation(model: Any) -> Any:
    """Return the layer, model or operation that computes the output; None for a model without a layer graph."""
    history = getattr(next(iter(getattr(model, "outputs", None) or ()), None), "_keras_history", None)
    return None if history is None else history.operation
