"""What training minimises, image by image, from logits."""

from __future__ import annotations

from collections.abc import Callable

from fedrobust.lazy import tf

Objective = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]
"""``(logits (n, classes), targets (n, ...)) -> losses (n,)``."""


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of `logits` (n, classes) against `labels` (n,) int32, shape (n,)."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def distillation(temperature: float) -> Objective:
    """Return T^2 KL(teacher || student) on logits divided by T (Hinton et al., 2015, arXiv:1503.02531, section 2).

    The factor T^2 keeps the size of gradients independent of the temperature. The targets are the teacher's logits
    (n, classes).

    Args:
        temperature: positive; large values teach the relations between the wrong classes.
    """

    def losses(logits: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
        wanted = tf.nn.log_softmax(teacher / temperature)
        given = tf.nn.log_softmax(logits / temperature)
        return temperature**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - given), axis=-1)

    return losses
