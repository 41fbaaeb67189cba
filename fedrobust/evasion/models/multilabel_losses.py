"""Losses that gradient attacks on multi-label models maximise: sums over the attacked findings, one value an image.

Labels are label sets, and targets are the label sets of the attacked findings, see `fedrobust.data.label_sets`.
"""

import tensorflow as tf

from fedrobust.evasion.models.losses import Loss
from fedrobust.training.losses.binary_cross_entropy import answers


def binary_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Sum of the sigmoids' cross-entropies. Its gradient underflows where the model is confident."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=answers(labels, logits.shape[-1]), logits=logits)
    return tf.reduce_sum(_watched(logits, targets) * losses, axis=-1)


def wrong_log_odds(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Sum of the log-odds of wrong answers: each grows with a finding's cross-entropy, and does not underflow."""
    return tf.reduce_sum(_watched(logits, targets) * _apart(logits, labels), axis=-1)


def still_right(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Sum of the log-odds of wrong answers, each up to 0: only findings that are answered right have a gradient."""
    return tf.reduce_sum(_watched(logits, targets) * tf.minimum(_apart(logits, labels), 0.0), axis=-1)


MULTILABEL_LOSSES: dict[str, Loss] = {
    "cross-entropy": binary_cross_entropy,
    "stable-cross-entropy": wrong_log_odds,
    "margin": still_right,
}
"""By the names of the losses of classes that they stand for."""


def _watched(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    return answers(targets, logits.shape[-1])


def _apart(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the log-odds of each wrong answer, (n, findings)."""
    return (1.0 - 2.0 * answers(labels, logits.shape[-1])) * logits
