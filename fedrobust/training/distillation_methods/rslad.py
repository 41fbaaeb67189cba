"""RSLAD: the teacher's soft labels inside and outside of the attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Share
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import tf
from fedrobust.training.distillation_methods.adversarial import AdversarialMethod
from fedrobust.training.distillation_methods.contract import DISTILLATION_METHODS, Teacher
from fedrobust.training.recipes.adversarial import both, divergence, near
from fedrobust.training.recipes.recipe import Batch, StepLoss, weighted_mean


@DISTILLATION_METHODS.register("rslad")
@dataclass(frozen=True, kw_only=True)
class RSLAD(AdversarialMethod):
    """Robust soft label adversarial distillation (Zi et al., 2021, arXiv:2108.07969, equation 6).

    Minimises (1 - alpha) KL(T(x) || S(x)) + alpha KL(T(x) || S(x')), where x' maximises KL(T(x) || S(x')) from a start
    near x. No label is used, and no temperature: ``distillation.temperature`` has no effect. The authors' code averages
    over classes, too.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1], a number or a fraction such as "2/255"; 0: 2.5 epsilon / steps, with ten steps
            the paper's quarter of epsilon.
        alpha: weight of the perturbed images; the authors use 5/6.
    """

    tempered: ClassVar[bool] = False

    alpha: Share = 5 / 6

    def __call__(self, batch: Batch, teacher: Teacher) -> StepLoss:
        """Return the loss of `batch` and its perturbed images."""

        def losses(images: tf.Tensor) -> tf.Tensor:
            return divergence(teacher.logits, batch.infer(images))

        start = near(batch.images, epsilon_value(self.epsilon), batch.seed)
        clean, attacked, statistics = both(batch, self.climbed(losses, start, batch.images))
        total = (1.0 - self.alpha) * divergence(teacher.logits, clean)
        total += self.alpha * divergence(teacher.logits, attacked)
        return StepLoss(weighted_mean(total, batch.example_weights), clean, statistics)
