"""The common part of adversarially robust distillation: perturbed images of the student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Count, PixelEpsilon, PixelStep
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import tf
from fedrobust.training.distillation_methods.contract import Teacher
from fedrobust.training.perturbation import Losses, random_start
from fedrobust.training.recipes.adversarial import across, climb
from fedrobust.training.recipes.recipe import Batch


@dataclass(frozen=True, kw_only=True)
class AdversarialMethod:
    """A method that perturbs the student's images, and trains the student on them.

    Images are perturbed in inference mode, as in `AdversarialRecipe`; the methods' official code perturbs them in
    training mode (ARD, IAD) or likewise (RSLAD).

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1], a number or a fraction such as "2/255"; 0: 2.5 epsilon / steps, with ten steps
            the papers' quarter of epsilon.
    """

    one_class: ClassVar[bool] = True
    attacks: ClassVar[tuple[str, ...]] = ("pgd",)

    epsilon: PixelEpsilon = 8 / 255
    steps: Count = 10
    step_size: PixelStep = 0.0

    @property
    def passes(self) -> int:
        """Forward and backward passes of a step: one for each gradient step, one each for both kinds of images."""
        return self.steps + 2

    def climbed(self, losses: Losses, start: tf.Tensor, clean: tf.Tensor) -> tf.Tensor:
        """Return `start` after signed gradient ascent in the ball around `clean`; no gradient flows through it."""
        epsilon = epsilon_value(self.epsilon)
        step_size = epsilon_value(self.step_size) or across(epsilon, self.steps)
        return climb(losses, start, clean, step_size, epsilon, self.steps)

    def away_from_labels(self, batch: Batch, teacher: Teacher) -> tf.Tensor:
        """Return images of the largest cross-entropy of the labels, from a random start in the ball."""

        def losses(images: tf.Tensor) -> tf.Tensor:
            logits = batch.infer(images)
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=teacher.labels, logits=logits)

        start = random_start(batch.images, epsilon_value(self.epsilon), batch.seed)
        return self.climbed(losses, start, batch.images)
