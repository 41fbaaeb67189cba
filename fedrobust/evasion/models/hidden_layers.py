"""Linear read-outs of a model's hidden layers: their gradients bypass a saturated or non-differentiable head."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fedrobust.evasion.models.bound import BoundModel
from fedrobust.evasion.models.compiled import CompiledModel, Held
from fedrobust.evasion.models.protocol import Labels, TargetModel
from fedrobust.evasion.models.wrappers import StraightThrough
from fedrobust.evasion.threat import Images

NEAREST = 24
"""Layers that are tried, those nearest to the logits."""

FEATURES = 4096
"""Most values of a layer that a read-out takes; larger layers are averaged over their pixels."""

AGREEING = 0.97
"""Least agreement of a read-out's predictions with the model's."""

ALIKE = 0.5
"""Mean product of two gradients' signs at which they count as aligned."""

RIDGE = 1e-3
"""Ridge penalty, for features of variance one."""


@dataclass(frozen=True, eq=False)
class ReadOut:
    """A linear classifier on a hidden layer.

    Attributes:
        name: of the operation whose output is the layer.
        target: a target with the model's logits and the read-out's gradients.
        agreement: share of held-out images on which read-out and model predict the same class.
        alike: mean product of the signs of the two gradients of the margin.
    """

    name: str
    target: TargetModel
    agreement: float
    alike: float


def hidden_read_outs(target: BoundModel, images: Images, most: int = 3) -> list[ReadOut]:
    """Return read-outs of hidden layers whose gradients differ in direction from the model's own.

    On every layer found by walking the graph back from the logits, a linear classifier is fitted by ridge regression
    to the model's predictions on the first half of the images. The gradients of an ordinary head agree with those of
    such a read-out; those of a head that saturates, stops gradients, or adds another model's gradients do not.

    Args:
        target: the model.
        images: (n, height, width, channels) float32 in [0, 1]; a few hundred, of all classes.
        most: number of read-outs returned, those nearest to the logits.

    Source: the layer-wise feature adversaries of Sabour et al. (2015), arXiv:1511.05122, with a read-out in place of
    a guide image; heads that mask gradients: Tramer et al. (2020), arXiv:2002.08347.
    """
    said = target.logits(images).argmax(axis=1)
    if len(np.unique(said)) < 2:
        return []
    graph = _traced(target)
    chosen = np.linspace(0, len(images) - 1, min(len(images), 48)).astype(np.int64)
    few, labels = images[chosen], said[chosen].astype(np.int32)
    own = np.sign(target.gradient(few, labels, "margin").gradients)
    found: list[ReadOut] = []
    seen: list[NDArray[np.float32]] = [own]
    read: list[NDArray[np.float32]] = []
    for tensor in _layers(graph):
        features = _features(graph, tensor)
        values = np.concatenate([np.asarray(features(tf.constant(part))) for part in _parts(images, target)])
        # Layers behind noisy copies of an image have a row a copy.
        if len(values) != len(images) or not np.isfinite(values).all():
            continue
        head = _fitted(values[0::2], said[0::2], target.classes)
        scores = values @ head[0] + head[1]
        agreement = float((scores[1::2].argmax(axis=1) == said[1::2]).mean())
        # A layer that only scales or reshapes another one has the same read-out.
        if agreement < AGREEING or any(np.allclose(scores, other, atol=1e-3) for other in read):
            continue
        read.append(scores)
        signs = np.sign(_slope(features, head, few, labels))
        if not signs.any() or max(float((signs * other).mean()) for other in seen) >= ALIKE:
            continue
        seen.append(signs)
        guide = BoundModel(_victim(features, head, target), (), target.batch_size)
        alike = float((signs * own).mean())
        found.append(ReadOut(tensor.op.name, StraightThrough(target, guide), agreement, alike))
        if len(found) == most:
            break
    return found


Features = Callable[[tf.Tensor], tf.Tensor]
Head = tuple[NDArray[np.float32], NDArray[np.float32]]


def _traced(target: BoundModel) -> Any:
    """Return the model as one graph from images to logits."""
    spec = tf.TensorSpec([None, *target.shape], tf.float32)
    return tf.compat.v1.wrap_function(lambda images: target.compiled.answers(target.weights, images), [spec])


def _layers(graph: Any) -> list[tf.Tensor]:
    """Return the float tensors between images and logits that have one row an image, nearest to the logits first."""
    images, logits = graph.inputs[0], graph.outputs[0]
    reached = _reached(images)
    found: list[tf.Tensor] = []
    waiting, known = deque([logits]), {logits.ref()}
    while waiting and len(found) < NEAREST:
        tensor = waiting.popleft()
        for one in tensor.op.inputs:
            if one.ref() in known or one.ref() not in reached:
                continue
            known.add(one.ref())
            waiting.append(one)
            if (
                one.dtype == tf.float32
                and one.shape.rank in (2, 4)
                and all(one.shape[1:])
                and one is not images
            ):
                found.append(one)
    return found


def _reached(images: tf.Tensor) -> set[Any]:
    """Return references to all tensors that depend on the images."""
    reached, waiting = {images.ref()}, deque([images])
    while waiting:
        for operation in waiting.popleft().consumers():
            for output in operation.outputs:
                if output.ref() not in reached:
                    reached.add(output.ref())
                    waiting.append(output)
    return reached


def _features(graph: Any, tensor: tf.Tensor) -> Features:
    """Return the function from images to a layer's values, (n, features), which can be differentiated."""
    given = graph.inputs[0]
    inside = graph.prune(given, tensor)
    size = int(np.prod(tensor.shape[1:]))

    @cache
    def backward() -> Any:
        # Built in the model's graph: custom gradients use its tensors, which a copy of the graph cannot reach.
        with graph.graph.as_default():
            upstream = tf.compat.v1.placeholder(tensor.dtype, tensor.shape)
            zero = tf.UnconnectedGradients.ZERO
            (slope,) = tf.gradients(tensor, given, upstream, unconnected_gradients=zero)
        return graph.prune([given, upstream], slope)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def layer(images: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor, variables: Any = None) -> Any:
            slope = backward()(images, upstream)
            # A learned defence has variables; nobody asks for their gradients.
            return slope if variables is None else (slope, [None] * len(variables))

        return inside(images), gradient

    def features(images: tf.Tensor) -> tf.Tensor:
        values = layer(images)
        if size > FEATURES:
            return tf.reduce_mean(values, axis=(1, 2)) if tensor.shape.rank == 4 else values[:, :FEATURES]
        return tf.reshape(values, [-1, size])

    return features


def _fitted(values: NDArray[np.float32], said: NDArray[np.int64], classes: int) -> Head:
    """Return weights and bias of a ridge regression of the predictions on standardised features."""
    mean, deviation = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    scale = np.where(
        deviation > 1e-12 * np.abs(values).max(initial=1e-30), 1 / np.maximum(deviation, 1e-30), 0.0
    )
    rows = (values - mean) * scale
    wanted = np.eye(classes)[said]
    offset = wanted.mean(axis=0)
    # The dual form: there are fewer images than features.
    inner = rows @ rows.T + RIDGE * max(1, values.shape[1]) * np.eye(len(rows))
    weights = (rows.T @ np.linalg.solve(inner, wanted - offset)) * scale[:, None]
    return weights.astype(np.float32), (offset - mean @ weights).astype(np.float32)


def _slope(features: Features, head: Head, images: Images, labels: Labels) -> Images:
    """Return the gradient of the read-out's margin with respect to the images, summed over the wrong classes."""
    weights, bias = head
    # The sum over the wrong classes is one gradient instead of one a class.
    wanted = 2 * np.eye(len(bias), dtype=np.float32)[labels] - 1
    given = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(given)
        odds = -tf.reduce_sum((features(given) @ weights + bias) * wanted)
    return np.asarray(tape.gradient(odds, given, unconnected_gradients=tf.UnconnectedGradients.ZERO))


def _victim(features: Features, head: Head, target: BoundModel) -> CompiledModel:
    weights, bias = head

    def forward(held: Held, images: tf.Tensor) -> tf.Tensor:
        return features(images) @ weights + bias

    return CompiledModel(forward, [], target.shape, target.classes)


def _parts(images: Images, target: BoundModel) -> Sequence[Images]:
    return np.array_split(images, max(1, -(-len(images) // target.batch_size)))


__all__ = ["ReadOut", "hidden_read_outs"]
