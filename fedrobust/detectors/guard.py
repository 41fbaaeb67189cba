"""A model that abstains: one more output, which is the largest where a detector is suspicious."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.detectors.contract import Score
from fedrobust.lazy import keras, tf
from fedrobust.models.architecture import ModelError
from fedrobust.models.ending import last_operation

SHARPNESS = 10.0
"""Logits by which the answer "abstains" grows while the score grows by the threshold."""


def guarded(answers: Callable[[Any], Any], score: Score, threshold: float) -> Callable[[Any], Any]:
    """Return the function from images to logits (n, classes + 1); the last one stands for abstaining.

    It is above the others where the score is above the threshold, so that an attack on this function is an attack on
    model and detector together (Carlini and Wagner, 2017, arXiv:1705.07263, section 4.1). Theirs is (D(x) + 1) times
    the largest logit, which needs that to be positive; this one adds to it.

    Args:
        answers: from images to logits (n, classes).
        score: the detector's.
        threshold: above which the model abstains.

    Example:
        >>> guard = guarded(lambda x: tf.stack([x, -x], 1), lambda x: x, threshold=2.0)
        >>> guard(tf.constant([1.0, 3.0])).numpy().tolist()
        [[1.0, -1.0, -4.0], [3.0, -3.0, 8.0]]
    """
    scale = max(abs(threshold), 1e-6)

    def guard(images: Any) -> Any:
        logits = answers(images)
        above = (score(images) - threshold) / scale
        return tf.concat([logits, (tf.reduce_max(logits, axis=1) + SHARPNESS * above)[:, None]], axis=1)

    return guard


def threshold_of(scores: NDArray[np.floating], rate: float) -> float:
    """Return the smallest score that at most a share `rate` of the clean images exceeds.

    Example:
        >>> threshold_of(np.arange(100.0), rate=0.05)
        94.0
    """
    ordered = np.sort(scores)
    return float(ordered[len(ordered) - 1 - int(rate * len(ordered))])


def features_of(model: Any, name: str) -> Any:
    """Return the Keras model from images to the inputs of its last Dense layer, also where that is in a nested model.

    Raises:
        ModelError: it does not end in a Dense layer.
    """
    last = last_operation(model)
    inputs = last._inbound_nodes[model.outputs[0]._keras_history.node_index].input_tensors if last else []
    if isinstance(last, keras.Model):
        return keras.Model(model.inputs[0], features_of(last, name)(inputs[0]))
    if isinstance(last, keras.layers.Dense):
        return keras.Model(model.inputs[0], inputs[0])
    raise ModelError(
        f"{name}: its last layer is {type(last).__name__}; the Mahalanobis detector takes the inputs of a last Dense "
        "layer: choose feature-squeezing"
    )
