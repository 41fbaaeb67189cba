"""ARD: the student is to say of perturbed images what the teacher says of clean ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Share
from fedrobust.lazy import tf
from fedrobust.training.distillation_methods.adversarial import AdversarialMethod
from fedrobust.training.distillation_methods.contract import DISTILLATION_METHODS, Teacher
from fedrobust.training.recipes.adversarial import both
from fedrobust.training.recipes.recipe import Batch, StepLoss, weighted_mean


@DISTILLATION_METHODS.register("ard")
@dataclass(frozen=True, kw_only=True)
class ARD(AdversarialMethod):
    """Adversarially robust distillation (Goldblum et al., 2019, arXiv:1905.09747, equation 6).

    Minimises alpha T^2 KL(T(x) || S(x')) + (1 - alpha) CE(S(x), y), where x' maximises the student's cross-entropy of
    the label from a random start. The authors use T = 30 on CIFAR-10; their code averages the divergence over classes,
    too, and starts with alpha = 1.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1], a number or a fraction such as "2/255"; 0: 2.5 epsilon / steps, with ten steps
            the paper's quarter of epsilon.
        alpha: weight of the divergence; the rest is the weight of the labels on clean images.
    """

    needs_labels: ClassVar[bool] = True

    alpha: Share = 1.0

    def __call__(self, batch: Batch, teacher: Teacher) -> StepLoss:
        """Return the loss of `batch` and its perturbed images."""
        clean, attacked, statistics = both(batch, self.away_from_labels(batch, teacher))
        losses = self.alpha * batch.objective(attacked, teacher.logits)
        if self.alpha < 1:
            labelled = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=teacher.labels, logits=clean)
            losses += (1.0 - self.alpha) * labelled
        return StepLoss(weighted_mean(losses, batch.example_weights), clean, statistics)
