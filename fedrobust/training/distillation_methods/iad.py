"""IAD: the student relies on itself where the teacher is unsure of the perturbed image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import NonNegative
from fedrobust.lazy import tf
from fedrobust.training.distillation_methods.adversarial import AdversarialMethod
from fedrobust.training.distillation_methods.contract import DISTILLATION_METHODS, Teacher
from fedrobust.training.recipes.adversarial import both, divergence
from fedrobust.training.recipes.recipe import Batch, StepLoss, weighted_mean


@DISTILLATION_METHODS.register("iad")
@dataclass(frozen=True, kw_only=True)
class IAD(AdversarialMethod):
    """Introspective adversarial distillation, variant I (Zhu et al., 2022, ICLR, arXiv:2106.04928).

    Minimises T^2 KL(T(x) || S(x')) + (1 - p^beta) KL(S(x) || S(x')), where x' maximises the student's cross-entropy of
    the label y, and p is the teacher's probability of y on x'. The terms are those of the authors' code, in which only
    the second is weighted; without its warm-up, the share of the epochs that have the first term only.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1], a number or a fraction such as "2/255"; 0: 2.5 epsilon / steps, with ten steps
            the paper's quarter of epsilon.
        beta: exponent of the trust in the teacher; 0: full trust, which is ARD.
    """

    needs_labels: ClassVar[bool] = True
    asks_teacher: ClassVar[bool] = True

    beta: NonNegative = 0.1

    def __call__(self, batch: Batch, teacher: Teacher) -> StepLoss:
        """Return the loss of `batch` and its perturbed images."""
        crafted = self.away_from_labels(batch, teacher)
        clean, attacked, statistics = both(batch, crafted)
        answers = tf.stop_gradient(tf.nn.softmax(teacher.answers(crafted)))
        trust = tf.gather(answers, teacher.labels, batch_dims=1) ** self.beta
        losses = batch.objective(attacked, teacher.logits) + (1.0 - trust) * divergence(clean, attacked)
        return StepLoss(weighted_mean(losses, batch.example_weights), clean, statistics)
