"""Adversarial training with PGD: a share of each batch is replaced by adversarial images."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Count, PositiveShare
from fedrobust.lazy import tf
from fedrobust.shares import exact
from fedrobust.training.perturbation import random_start
from fedrobust.training.recipes.adversarial import AdversarialRecipe
from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, weighted_mean


def share_of(share: float, images: tf.Tensor) -> tf.Tensor:
    """Return a share in (0, 1] of a number of images, rounded up, int32; exact, as `fedrobust.shares.part_of` is."""
    part = exact(share)
    above = tf.cast(images, tf.int64) * part.numerator + part.denominator - 1
    return tf.cast(above // part.denominator, tf.int32)


@RECIPES.register("pgd")
@dataclass(frozen=True, kw_only=True)
class PGDTraining(AdversarialRecipe):
    """Train on images perturbed by projected gradient ascent of the loss (Madry et al., 2017, arXiv:1706.06083).

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1]; 0: 2.5 epsilon / steps, Madry's choice.
        random_start: start at a uniformly random point of the linf ball.
        share: share of each batch that is replaced, in (0, 1]; the rest remains clean (Kurakin et al., 2016,
            arXiv:1611.01236, replace half).
        warmup: see `AdversarialRecipe`.
    """

    steps: Count = 7
    random_start: bool = True
    share: PositiveShare = 1.0

    def crafted(self, batch: Batch) -> tf.Tensor:
        """Return the adversarial images of the batch's first images, a share of it."""
        attacked = share_of(self.share, tf.shape(batch.images)[0])
        clean, targets = batch.images[:attacked], batch.targets[:attacked]
        epsilon = self.radius(batch)

        def losses(images: tf.Tensor) -> tf.Tensor:
            return batch.objective(batch.infer(images), targets)

        start = random_start(clean, epsilon, batch.seed) if self.random_start else clean
        return self.climbed(batch, losses, start, clean)

    def loss(self, batch: Batch, crafted: tf.Tensor) -> StepLoss:
        """Return the mean loss of `batch` with its first images replaced."""
        images = tf.concat([crafted, batch.images[tf.shape(crafted)[0] :]], 0)
        logits, statistics = batch.train(images)
        losses = batch.objective(logits, batch.targets)
        return StepLoss(weighted_mean(losses, batch.example_weights), logits, statistics)
