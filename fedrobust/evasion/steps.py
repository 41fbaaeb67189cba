"""The moves that gradient attacks are made of, inside a graph."""

from collections.abc import Callable

import tensorflow as tf

Losses = Callable[[tf.Tensor], tf.Tensor]


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
