"""Standard training on clean images."""

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, weighted_mean


@RECIPES.register("plain")
@dataclass(frozen=True)
class Plain:
    """Minimise the loss on clean images (McMahan et al., 2016, arXiv:1602.05629, Algorithm 1)."""

    attacks: ClassVar[tuple[str, ...]] = ()

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the mean loss of `batch`."""
        logits, statistics = batch.train(batch.images)
        losses = batch.objective(logits, batch.targets)
        return StepLoss(weighted_mean(losses, batch.example_weights), logits, statistics)
