"""A prediction-time defence inside the model, with the gradient of its stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def defended(defence: Callable[[Any], Any], images: tf.Tensor) -> tf.Tensor:
    """Return ``defence(images)``; the gradient is that of its ``stand_in``, if it has one (BPDA)."""
    stand_in = getattr(defence, "stand_in", None)
    if stand_in is None:
        return defence(images)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def straight_through(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(x)
                shown = stand_in(x)
            return tape.gradient(
                shown, x, output_gradients=upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        return defence(x), gradient

    return straight_through(images)
