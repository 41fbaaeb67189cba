"""Distillation losses, whose targets are a teacher's logits; used for students, not registered for studies."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.lazy import tf


@dataclass(frozen=True)
class Distillation:
    """T^2 KL(teacher || student) on logits divided by T (Hinton et al., 2015, arXiv:1503.02531, section 2).

    The factor T^2 keeps the size of gradients independent of the temperature.

    Attributes:
        temperature: positive; large values give more weight to the relations between wrong classes.
    """

    temperature: float

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,); `targets` are the teacher's logits (n, classes), `prior` is not used."""
        wanted = tf.nn.log_softmax(targets / self.temperature)
        given = tf.nn.log_softmax(logits / self.temperature)
        return self.temperature**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - given), axis=-1)


@dataclass(frozen=True)
class MultilabelDistillation:
    """T^2 times the mean over findings of KL(teacher || student) between sigmoids of logits divided by T.

    Each finding is a problem of two classes with the logits z and 0, for which this is `Distillation`.

    Attributes:
        temperature: positive.
    """

    temperature: float

    def __call__(self, logits: tf.Tensor, targets: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,); `targets` are the teacher's logits (n, findings), `prior` is not used."""
        wanted, given = targets / self.temperature, logits / self.temperature
        present = tf.sigmoid(wanted) * (tf.math.log_sigmoid(wanted) - tf.math.log_sigmoid(given))
        absent = tf.sigmoid(-wanted) * (tf.math.log_sigmoid(-wanted) - tf.math.log_sigmoid(-given))
        return self.temperature**2 * tf.reduce_mean(present + absent, axis=-1)
