"""Adversarial logit pairing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import NonNegative
from fedrobust.lazy import tf
from fedrobust.training.perturbation import random_start
from fedrobust.training.recipes.adversarial import AdversarialRecipe, both
from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, weighted_mean


@RECIPES.register("logit-pairing")
@dataclass(frozen=True, kw_only=True)
class LogitPairing(AdversarialRecipe):
    """Make the logits of an image and of its adversary equal (Kannan et al., 2018, arXiv:1803.06373, section 3.2).

    Minimises the mean of the losses on clean and adversarial images, plus the weighted mean squared difference of their
    logits, which a loss with a temperature divides by it. Clean and adversarial images are two batches, each with its
    own BatchNorm statistics, and images move away from the label; in the official code they are one batch and move to
    the least likely class. Its published robustness did not withstand more steps (Engstrom et al., 2018,
    arXiv:1807.10272).

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1]; 0: 2.5 epsilon / steps.
        warmup: see `AdversarialRecipe`.
        weight: of the squared difference.
    """

    loss_passes: ClassVar[float] = 2.0

    weight: NonNegative = 0.5

    def crafted(self, batch: Batch) -> tf.Tensor:
        """Return the images in the ball with the largest loss, from a random start."""
        clean = batch.images

        def losses(images: tf.Tensor) -> tf.Tensor:
            return batch.objective(batch.infer(images), batch.targets)

        start = random_start(clean, self.radius(batch), batch.seed)
        return self.climbed(batch, losses, start, clean)

    def loss(self, batch: Batch, crafted: tf.Tensor) -> StepLoss:
        """Return the mean loss of clean and adversarial images plus the weighted difference of their logits."""
        clean, attacked, statistics = both(batch, crafted)
        halves = 0.5 * (batch.objective(clean, batch.targets) + batch.objective(attacked, batch.targets))
        apart = batch.without_shares(clean) - batch.without_shares(attacked)
        losses = halves + self.weight * tf.reduce_mean(tf.square(apart), axis=-1)
        return StepLoss(weighted_mean(losses, batch.example_weights), clean, statistics)
