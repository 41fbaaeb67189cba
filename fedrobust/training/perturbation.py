"""Steps of gradient attacks inside a graph: input gradients, projection, random starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fedrobust.lazy import tf
from fedrobust.models.architecture import ModelError

Losses = Callable[["tf.Tensor"], "tf.Tensor"]


def input_gradient(losses: Losses, images: tf.Tensor) -> tf.Tensor:
    """Return the gradient of each image's loss, in the shape of `images`.

    The losses are summed, not averaged: a mean would divide gradients by the batch size, and small ones underflow.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(losses(images))
    return tape.gradient(total, images)


def penalised_gradient(losses: Losses, images: tf.Tensor, weights: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the gradient of each image's loss, for a penalty on it that trains `weights`.

    A layer may pass on a gradient without a derivative of its own, as TensorFlow's resizing does. A tape takes
    that derivative for zero, and the penalty would train nothing.

    Raises:
        ModelError: the gradient has no derivative by any weight; inside a graph alone, where checking costs nothing.
    """
    if not tf.inside_function():
        return input_gradient(losses, images)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        gradient = input_gradient(losses, images)
    # Known while the graph is built; what is not used of it is removed from the graph.
    if all(each is None for each in tape.gradient(gradient, weights)):
        raise ModelError(
            "training.recipe: it penalises the gradient of the loss by the image, and a layer of the network passes on "
            "that gradient without a derivative: nothing would be trained by the penalty; choose another recipe, or "
            "replace the layer (TensorFlow's bilinear and bicubic resizing are such: let image-size resize the images)"
        )
    return gradient


def in_range(images: tf.Tensor, clean: tf.Tensor) -> tf.Tensor:
    """Return `images` clipped to [0, 1], or where a pixel of `clean` is outside, to what lies between it and [0, 1].

    Noise may have moved a pixel of `clean` out of [0, 1]. Clipped to [0, 1], the image would lose this noise, and with
    it move farther than an attack is allowed to.

    Example:
        >>> in_range(tf.constant([-0.5, -0.5, 1.25]), tf.constant([-0.25, 0.0, 1.5])).numpy().tolist()
        [-0.25, 0.0, 1.25]
    """
    return tf.clip_by_value(images, tf.minimum(clean, 0.0), tf.maximum(clean, 1.0))


def project(images: tf.Tensor, clean: tf.Tensor, epsilon: float | tf.Tensor) -> tf.Tensor:
    """Return `images` projected onto the linf ball of radius epsilon around `clean`, and `in_range`.

    Example:
        >>> project(tf.constant([-0.5, 0.5, 2.0]), tf.constant([-0.25, 0.875, 1.5]), 0.125).numpy().tolist()
        [-0.25, 0.75, 1.5]
    """
    return in_range(tf.clip_by_value(images, clean - epsilon, clean + epsilon), clean)


def ascend(
    losses: Losses,
    images: tf.Tensor,
    clean: tf.Tensor,
    step_size: float | tf.Tensor,
    epsilon: float | tf.Tensor,
) -> tf.Tensor:
    """Return `images` after one signed gradient ascent step, projected (linf)."""
    return project(images + step_size * tf.sign(input_gradient(losses, images)), clean, epsilon)


def random_start(clean: tf.Tensor, epsilon: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return a uniformly random point of the linf ball of radius epsilon around each clean image, and `in_range`."""
    noise = tf.random.stateless_uniform(tf.shape(clean), seed=seed, minval=-1.0, maxval=1.0)
    return project(clean + epsilon * noise, clean, epsilon)


def cross_entropy_direction(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return losses (n,) with cross-entropy's gradient direction, rescaled for each image so that it cannot vanish.

    The gradient of cross-entropy by the logits is p_j for every wrong class j and minus their sum for the label. For a
    confident model these underflow (from a logit difference of about 90, earlier through deep networks), their sign is
    0, and a signed attack does not change the image: the model seems robust. Divided by the sum of the wrong classes'
    probabilities, the gradient is the softmax over the wrong classes, which does not underflow.

    Args:
        logits: (n, classes).
        labels: (n,) int32, the classes to move away from.
    """
    right = tf.one_hot(labels, tf.shape(logits)[-1], on_value=True, off_value=False, dtype=tf.bool)
    wrong = tf.nn.softmax(tf.where(right, -float("inf"), logits))
    away = tf.stop_gradient(wrong - tf.cast(right, tf.float32))
    return tf.reduce_sum(away * logits, axis=-1)
