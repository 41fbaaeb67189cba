"""The moves that gradient attacks are made of, inside a graph."""

from __future__ import annotations

from collections.abc import Callable

from fedrobust.lazy import tf

Losses = Callable[["tf.Tensor"], "tf.Tensor"]


def input_gradient(losses: Losses, images: tf.Tensor) -> tf.Tensor:
    """Return the gradient of each image's own loss, in the shape of `images`.

    The losses are summed, not averaged: a mean would only scale the gradient down by the batch size, and small
    gradients are flushed to zero.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(losses(images))
    return tape.gradient(total, images)


def project(images: tf.Tensor, clean: tf.Tensor, epsilon: float | tf.Tensor) -> tf.Tensor:
    """Return `images` brought back into the epsilon box around `clean` and into [0, 1]."""
    return tf.clip_by_value(tf.clip_by_value(images, clean - epsilon, clean + epsilon), 0.0, 1.0)


def ascend(
    losses: Losses,
    images: tf.Tensor,
    clean: tf.Tensor,
    step_size: float | tf.Tensor,
    epsilon: float | tf.Tensor,
) -> tf.Tensor:
    """Return `images` after one signed gradient step up the losses, projected (L-infinity)."""
    return project(images + step_size * tf.sign(input_gradient(losses, images)), clean, epsilon)


def random_start(clean: tf.Tensor, epsilon: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return a uniformly random point of the epsilon box around each clean image, in [0, 1]."""
    noise = tf.random.stateless_uniform(tf.shape(clean), seed=seed, minval=-1.0, maxval=1.0)
    return project(clean + epsilon * noise, clean, epsilon)


def cross_entropy_direction(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return losses (n,) whose gradient is cross-entropy's, scaled image by image so that it never vanishes.

    The gradient of cross-entropy is p_j towards every wrong logit j and minus their sum towards the right one. Once
    a model is sure, these underflow (from logits at a gap of about 90, earlier through deep networks), their sign is
    0, and an attack by sign leaves the image alone: the model looks robust. Divided by the sum of the wrong classes'
    probabilities, the weights are the softmax over the wrong classes alone, which is finite at any gap.

    Args:
        logits: (n, classes).
        labels: (n,) int32, the classes to move away from.
    """
    right = tf.one_hot(labels, tf.shape(logits)[-1], on_value=True, off_value=False, dtype=tf.bool)
    wrong = tf.nn.softmax(tf.where(right, -float("inf"), logits))
    away = tf.stop_gradient(wrong - tf.cast(right, tf.float32))
    return tf.reduce_sum(away * logits, axis=-1)
