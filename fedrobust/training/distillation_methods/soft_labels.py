"""Knowledge distillation on the teacher's softened predictions."""

from dataclasses import dataclass

from fedrobust.training.distillation_methods.contract import DISTILLATION_METHODS, Teacher
from fedrobust.training.recipes.recipe import Batch, StepLoss, weighted_mean


@DISTILLATION_METHODS.register("soft-labels")
@dataclass(frozen=True)
class SoftLabels:
    """Minimise T^2 KL(teacher || student) on clean images (Hinton et al., 2015, arXiv:1503.02531, section 2).

    It compresses the teacher. What robustness the student shows is to be compared with that of the control.
    """

    def __call__(self, batch: Batch, teacher: Teacher) -> StepLoss:
        """Return the mean softened divergence of `batch`."""
        logits, statistics = batch.train(batch.images)
        losses = batch.objective(logits, teacher.logits)
        return StepLoss(weighted_mean(losses, batch.example_weights), logits, statistics)
