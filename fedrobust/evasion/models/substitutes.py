"""Substitute gradients of operations whose gradient is missing or vanishes: the backward pass of BPDA.

The forward pass is unchanged; the backward pass is replaced operation by operation while the graph is built. Rounding,
stopped gradients and saturation then have the gradient of the operation without them.

Source: Athalye, Carlini and Wagner (2018), Obfuscated gradients give a false sense of security, arXiv:1802.00420,
section 4.1 (backward pass differentiable approximation).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import tensorflow as tf

PASS = "FedrobustPass"
SLOW_DECAY = "FedrobustSlowDecay"
TO_VARYING = "FedrobustToVarying"
CHOSEN_OR_NOT = "FedrobustChosenOrNot"
CENTRED = "FedrobustCentred"
SOFT_ROUND = "FedrobustSoftRound"

SUBSTITUTES = {
    # Step functions and stopped gradients: that of the identity.
    **dict.fromkeys(
        ("Round", "Rint", "Floor", "Ceil", "Sign", "StopGradient", "PreventGradient", "ClipByValue"),
        PASS,
    ),
    "FakeQuantWithMinMaxArgs": PASS,
    "FakeQuantWithMinMaxVars": PASS,
    # Saturating functions: a slope that decays like 1 / |x| instead of exponentially.
    **dict.fromkeys(("Tanh", "Sigmoid", "Erf", "Softsign", "Atan"), SLOW_DECAY),
    # Softmax: that of the logits, without the part common to all classes.
    "Softmax": CENTRED,
    # Clipping: that of the identity, also outside of the bounds.
    **dict.fromkeys(("Minimum", "Maximum"), TO_VARYING),
    # A selection: to both inputs.
    **dict.fromkeys(("SelectV2", "Select"), CHOSEN_OR_NOT),
}
"""Types of TensorFlow's graph operations, and the name of the gradient function that replaces theirs.

ReLU and ReLU6 keep their gradients: ordinary networks consist of them.
"""


SOFT = {**SUBSTITUTES, "Round": SOFT_ROUND, "Rint": SOFT_ROUND}
"""The same with the slope of a soft rounding for roundings to the nearest.

Where roundings act on mixtures of pixels, as in JPEG, the slope of the identity spends a perturbation on coefficients
that are rounded back; that of 1 - 0.9 cos(2 pi x) spends it on those that change (after Shin and Song, 2017; see
`fedrobust.defences.jpeg.soft_round`).
"""


ROUNDINGS = {"Round": SOFT_ROUND, "Rint": SOFT_ROUND, "Floor": PASS, "Ceil": PASS}
"""Those of roundings alone, whose own gradient is zero everywhere: nothing that has a gradient is replaced."""


@contextmanager
def substituted(by: Mapping[str, str] = SUBSTITUTES) -> Iterator[None]:
    """Build operations with substitute gradients, within a graph that `tf.gradients` differentiates.

    `tf.GradientTape` ignores them.

    Args:
        by: `SUBSTITUTES`, `SOFT` or `ROUNDINGS`.

    Example:
        >>> @tf.function
        ... def slope(x):
        ...     with substituted():
        ...         y = tf.round(x) + tf.tanh(100 * x)
        ...     return tf.gradients(y, x)[0]
        >>> [round(float(value), 2) for value in slope(tf.constant([0.0, 1.0]))]
        [101.0, 1.99]
    """
    with tf.compat.v1.get_default_graph().gradient_override_map(dict(by)):
        yield


def replaceable(graph: Any, by: Mapping[str, str] = SUBSTITUTES) -> tuple[str, ...]:
    """Return the types of a graph's operations whose gradient has a substitute in `by`, sorted."""
    return tuple(sorted({operation.type for operation in graph.get_operations()} & by.keys()))


def _registered(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a gradient function once; a second import of this module under another name keeps the first."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        with suppress(KeyError):
            tf.RegisterGradient(name)(function)
        return function

    return register


@_registered(PASS)
def _pass(operation: Any, slope: tf.Tensor) -> list[tf.Tensor | None]:
    return [slope, *[None] * (len(operation.inputs) - 1)]


@_registered(SOFT_ROUND)
def _soft_round(operation: Any, slope: tf.Tensor) -> tf.Tensor:
    return slope * (1.0 - 0.9 * tf.cos(2 * math.pi * operation.inputs[0]))


@_registered(SLOW_DECAY)
def _slow_decay(operation: Any, slope: tf.Tensor) -> tf.Tensor:
    return slope / (1 + tf.abs(operation.inputs[0]))


@_registered(CENTRED)
def _centred(operation: Any, slope: tf.Tensor) -> tf.Tensor:
    return slope - tf.reduce_mean(slope, axis=-1, keepdims=True)


@_registered(TO_VARYING)
def _to_varying(operation: Any, slope: tf.Tensor) -> list[tf.Tensor | None]:
    # Bounds are constants or scalars; of two tensors of the full shape both get the gradient.
    full = [one.op.type != "Const" and one.shape.rank == slope.shape.rank for one in operation.inputs]
    return [
        _fitted(slope, one) if wanted else None for one, wanted in zip(operation.inputs, full, strict=True)
    ]


@_registered(CHOSEN_OR_NOT)
def _chosen_or_not(operation: Any, slope: tf.Tensor) -> list[tf.Tensor | None]:
    _, one, other = operation.inputs
    return [None, _fitted(slope, one), _fitted(slope, other)]


def _fitted(slope: tf.Tensor, to: tf.Tensor) -> tf.Tensor:
    """Return the gradient summed over the axes along which `to` was broadcast."""
    axes, _ = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(to), s1=tf.shape(slope))
    return tf.reshape(tf.reduce_sum(slope, axis=axes), tf.shape(to))
