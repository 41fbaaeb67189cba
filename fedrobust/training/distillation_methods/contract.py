"""The contract of distillation methods, and their registry.

A method is a frozen dataclass of settings that is called inside the graph, under a tape that watches the student's
weights. It may have the following class attributes:

``needs_labels = True``
    it uses the labels of the transfer images; without them it is refused.
``asks_teacher = True``
    it evaluates the teacher on images that it perturbs, so that the teacher is part of the graph.
``same_network = True``
    the student has the teacher's architecture.
``teacher_softened = True``
    the teacher was trained at the student's temperature.
``one_class = True``
    it is refused for multi-label data: it uses the logits' softmax.
``tempered = False``
    ``distillation.temperature`` has no effect on it.
``attacks``
    names of the evasion attacks on which the student is trained, which its audit does not count as unseen.
``passes``
    forward and backward passes of a step, for the forecast; default 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from fedrobust.lazy import tf
from fedrobust.registry import Registry
from fedrobust.training.recipes.recipe import Batch, StepLoss

DISTILLATION_METHODS = Registry("distillation method", "fedrobust.training.distillation_methods")


def no_answers(images: tf.Tensor) -> tf.Tensor:
    """Raise NotImplementedError: the method does not say that it evaluates the teacher (``asks_teacher``)."""
    raise NotImplementedError("the method does not say that it evaluates the teacher (asks_teacher)")


class Teacher(NamedTuple):
    """The teacher and the labels of one batch, inside the graph.

    Attributes:
        logits: (n, classes) float32, the teacher's logits of the clean images.
        labels: (n,) int32; -1 where the method does not need labels.
        answers: native images (n, height, width, channels) in [0, 1] to the teacher's logits.
    """

    logits: tf.Tensor
    labels: tf.Tensor
    answers: Callable[[tf.Tensor], tf.Tensor] = no_answers


class DistillationMethod(Protocol):
    """A frozen dataclass of settings, with some of the class attributes above."""

    def __call__(self, batch: Batch, teacher: Teacher) -> StepLoss:
        """Return the loss of one batch of the student.

        Args:
            batch: the student and its images. ``batch.objective(logits, teacher.logits)`` is the softened divergence
                T^2 KL(teacher || student) of every image, (n,), at the study's temperature T.
            teacher: of the batch.
        """
        ...


def trait(method: Any, name: str) -> bool:
    """Return whether a method has a class attribute that is true.

    Example:
        >>> from fedrobust.training.distillation_methods.ard import ARD
        >>> trait(ARD(), "needs_labels"), trait(ARD(), "asks_teacher")
        (True, False)
    """
    return bool(getattr(method, name, False))


def attacks_on_student(method: Any) -> tuple[str, ...]:
    """Return the names of the evasion attacks on which a method trains the student.

    Example:
        >>> from fedrobust.training.distillation_methods.rslad import RSLAD
        >>> attacks_on_student(RSLAD())
        ('pgd',)
    """
    return tuple(getattr(method, "attacks", ()))


def passes_of_step(method: Any) -> int:
    """Return the forward and backward passes of one step of the student.

    Example:
        >>> from fedrobust.training.distillation_methods.rslad import RSLAD
        >>> passes_of_step(RSLAD(steps=7))
        9
    """
    return int(getattr(method, "passes", 1))
