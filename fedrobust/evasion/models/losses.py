"""Losses that gradient attacks maximise: functions of the logits, one value an image.

All grow as the prediction becomes wrong. The loss is selected by number inside one compiled graph, so that a model is
traced once for all losses.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""(logits (n, C), labels (n,) int32, targets (n,) int32) -> losses (n,)."""


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the label. Its gradient underflows where the model is confident."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def stable_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The log-odds of a wrong class: logsumexp of the wrong classes' logits, minus the label's logit.

    It grows with cross-entropy, H = log(1 + exp(log-odds)), so both have the same maxima and gradients in the same
    direction; where H and its gradient underflow to 0, this loss and its gradient do not.
    """
    right = tf.one_hot(labels, logits.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    return tf.reduce_logsumexp(
        tf.where(right, logits.dtype.as_numpy_dtype(-math.inf), logits), axis=-1
    ) - _of(logits, labels)


def margin(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The largest wrong logit minus the label's (Carlini and Wagner, 2016, arXiv:1608.04644, f6)."""
    return _largest_wrong(logits, labels) - _of(logits, labels)


def dlr(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The difference of logits ratio (Croce and Hein, 2020, arXiv:2003.01690, eq. 6); the margin for two classes.

    Invariant to scaling and shifting all logits. It needs three classes.
    """
    if logits.shape[-1] < 3:
        return margin(logits, labels, targets)
    ordered = tf.math.top_k(logits, 3).values
    return margin(logits, labels, targets) / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def targeted_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The log-odds of the target class, which grow with its probability."""
    return -stable_cross_entropy(logits, targets, targets)


def targeted_margin(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The target's logit minus the largest other (Carlini and Wagner, 2016, f6); above 0 where it is predicted."""
    return -margin(logits, targets, targets)


def difference(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The target's logit minus the label's."""
    return _of(logits, targets) - _of(logits, labels)


def targeted_dlr(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The targeted difference of logits ratio (Croce and Hein, 2020, eq. 7); the difference below four classes."""
    if logits.shape[-1] < 4:
        return difference(logits, labels, targets)
    return difference(logits, labels, targets) / _scale(logits)


def class_dlr(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The target's logit minus the largest other, over the scale of `targeted_dlr`; that margin below four classes.

    Above 0 where the target is predicted, which equation 7 of Croce and Hein is where any class but the label is.
    """
    if logits.shape[-1] < 4:
        return targeted_margin(logits, labels, targets)
    return targeted_margin(logits, labels, targets) / _scale(logits)


def logit(logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The target's logit: its gradient is one row of the Jacobian."""
    return _of(logits, targets)


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "stable-cross-entropy": stable_cross_entropy,
    "margin": margin,
    "dlr": dlr,
    "targeted-cross-entropy": targeted_cross_entropy,
    "difference": difference,
    "targeted-dlr": targeted_dlr,
    "logit": logit,
    "targeted-margin": targeted_margin,
    "class-dlr": class_dlr,
}

NUMBERS = {name: number for number, name in enumerate(LOSSES)}


def slopes(
    number: tf.Tensor,
    logits: tf.Tensor,
    labels: tf.Tensor,
    targets: tf.Tensor,
    known: Mapping[str, Loss] = LOSSES,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the losses (n,) and their derivatives with respect to the logits (n, C).

    Their graph is that of the losses and of C alone. It is traced once for all models: it took nine tenths of the time
    in which the gradient of a small network was traced.

    Args:
        number: of the loss among those that are `known`, () int32.
        logits: (n, C) with a static C.
        labels: (n,) int32.
        targets: (n,) int32.
        known: the losses by name.
    """
    return _traced(logits.shape[-1], logits.dtype, tuple(known.values()))(number, logits, labels, targets)


@lru_cache(maxsize=32)
def _traced(
    classes: int, dtype: tf.DType, losses: tuple[Loss, ...]
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    def chosen(
        number: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.switch_case(
            number, [partial(_losses_and_slopes, loss, logits, labels, targets) for loss in losses]
        )

    whole = tf.TensorSpec([None], tf.int32)
    signature = [tf.TensorSpec([], tf.int32), tf.TensorSpec([None, classes], dtype), whole, whole]
    return tf.function(chosen, input_signature=signature, autograph=False).get_concrete_function()


def _losses_and_slopes(
    loss: Loss, logits: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = loss(logits, labels, targets)
    return losses, tape.gradient(losses, logits)


def _scale(logits: tf.Tensor) -> tf.Tensor:
    ordered = tf.math.top_k(logits, 4).values
    return ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + 1e-12


def _of(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    return tf.gather(logits, classes, batch_dims=1)


def _largest_wrong(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    right = tf.one_hot(labels, logits.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    return tf.reduce_max(tf.where(right, logits.dtype.as_numpy_dtype(-math.inf), logits), axis=-1)
