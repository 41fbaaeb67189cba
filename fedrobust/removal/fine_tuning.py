"""Fine-tuning of a model on the server's images by stochastic gradient descent with momentum."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedrobust.lazy import tf
from fedrobust.models.layout import Weights
from fedrobust.removal.contract import Images, Suspect

BATCH = 64
"""Images in a step."""


def steps_of(suspect: Suspect, epochs: int) -> int:
    """Return the number of steps of so many passes over the server's images."""
    return epochs * max(1, len(suspect.images) // BATCH)


def fine_tuned(
    suspect: Suspect,
    weights: Weights,
    rates: Sequence[float],
    clip: float = 0.0,
    kept: np.ndarray | None = None,
    shown: Callable[[Images, np.ndarray], Images] | None = None,
    momentum: float = 0.9,
) -> Weights:
    """Return `weights` after a step for each of the learning `rates` on batches of the server's images.

    Steps are those of training: BatchNorm uses the statistics of the batch, and its moving statistics follow.

    Args:
        suspect: the model, the images and their labels.
        weights: at the start.
        rates: learning rate of each step.
        clip: largest norm of a step's gradient; 0: any.
        kept: mask of the trainable parameters (parameters,); the others stay as they are. None: all change.
        shown: function from a batch's images and the number of the step to the images that the model is shown.
        momentum: of the descent.
    """
    classifier = suspect.classifier
    factors = tf.constant(suspect.class_weights)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(
        trainable: list[Any], statistics: list[Any], velocity: list[Any], images: Any, labels: Any, rate: Any
    ) -> tuple[list[Any], list[Any], list[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            logits, after = classifier.logits(
                trainable, statistics, classifier.preparation(images), training=True
            )
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses * tf.gather(factors, labels))
        gradients = tape.gradient(loss, trainable, unconnected_gradients="zero")
        if clip:
            gradients, _ = tf.clip_by_global_norm(gradients, clip)
        velocity = [momentum * old + new for old, new in zip(velocity, gradients, strict=True)]
        moved = [array - rate * change for array, change in zip(trainable, velocity, strict=True)]
        return moved, after, velocity

    trainable, statistics = classifier.arrays(weights)
    velocity = [tf.zeros_like(array) for array in trainable]
    for number, rows in enumerate(suspect.batches(len(rates), BATCH)):
        images = suspect.images[rows]
        images = images if shown is None else shown(images, np.array([suspect.seed, number]))
        labels = tf.constant(suspect.labels[rows])
        moved, statistics, velocity = step(
            trainable,
            statistics,
            velocity,
            tf.constant(images),
            labels,
            tf.constant(np.float32(rates[number])),
        )
        trainable = (
            moved if kept is None else masked(moved, trainable, classifier.layout.split(kept, "trainable"))
        )
    return weights_of(suspect, trainable, statistics)


def masked(moved: Sequence[Any], before: Sequence[Any], kept: Sequence[np.ndarray]) -> list[Any]:
    """Return the arrays `moved` where `kept`, and those of `before` elsewhere."""
    return [tf.where(mask, new, old) for mask, new, old in zip(kept, moved, before, strict=True)]


def weights_of(suspect: Suspect, trainable: Sequence[Any], statistics: Sequence[Any]) -> Weights:
    """Return arrays in Keras' order as weights."""
    own = {"trainable": iter(trainable), "statistic": iter(statistics)}
    layout = suspect.classifier.layout
    return layout.flatten([np.asarray(next(own[entry.kind])) for entry in layout.entries])
