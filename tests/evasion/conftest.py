"""Targets whose nearest adversaries are formulas."""

from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.evasion import BoundModel, CompiledModel


@dataclass
class Problem:
    """A linear model, images that it classifies right, and how far each is from its nearest boundary."""

    target: BoundModel
    images: np.ndarray
    labels: np.ndarray
    nearest: dict


def linear_problem(classes=2, shape=(6, 6, 1), n=40, seed=0) -> Problem:
    draw = np.random.default_rng(seed)
    size = int(np.prod(shape))
    kernel = draw.normal(size=(size, classes)).astype(np.float32)
    bias = (draw.normal(size=classes) - kernel.sum(0) / 2).astype(np.float32)
    compiled = CompiledModel(
        lambda weights, images: tf.reshape(images, [-1, size]) @ weights[0] + weights[1],
        [tf.TensorSpec(kernel.shape), tf.TensorSpec(bias.shape)],
        shape,
        classes,
    )
    # Well inside of [0, 1], so that clipping does not change the formulas.
    images = (0.35 + 0.3 * draw.random((n, *shape))).astype(np.float32)
    logits = images.reshape(n, size).astype(np.float64) @ kernel + bias
    labels = logits.argmax(1).astype(np.int32)
    nearest = {norm: np.full(n, np.inf) for norm in ("linf", "l2", "l0")}
    for other in range(classes):
        apart = kernel[:, [other]] - kernel[:, labels]
        gap = logits[np.arange(n), labels] - logits[:, other]
        for norm, dual in (("linf", np.abs(apart).sum(0)), ("l2", np.linalg.norm(apart, axis=0))):
            far = np.where(labels == other, np.inf, gap / np.maximum(dual, 1e-12))
            nearest[norm] = np.minimum(nearest[norm], far)
        # A pixel's best change is each of its values at the end that helps; the fewest are those that help most.
        flat = images.reshape(n, size).astype(np.float64)
        gain = np.where(apart.T > 0, 1 - flat, flat) * np.abs(apart.T)
        gain = np.sort(gain.reshape(n, shape[0] * shape[1], shape[2]).sum(2), axis=1)[:, ::-1]
        few = 1 + (np.cumsum(gain, axis=1) <= gap[:, None]).sum(1)
        nearest["l0"] = np.minimum(nearest["l0"], np.where(labels == other, np.inf, few))
    return Problem(BoundModel(compiled, (tf.constant(kernel), tf.constant(bias))), images, labels, nearest)


@pytest.fixture(scope="session")
def two_classes() -> Problem:
    return linear_problem()


@pytest.fixture(scope="session")
def fourteen_classes() -> Problem:
    return linear_problem(classes=14, shape=(6, 6, 3), seed=1)


@pytest.fixture(scope="session")
def problems(two_classes, fourteen_classes) -> dict:
    return {2: two_classes, 14: fourteen_classes}
