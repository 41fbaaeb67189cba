"""TRADES: cross-entropy on clean images, and the divergence of the predictions on adversarial ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import NonNegative
from fedrobust.lazy import tf
from fedrobust.training.recipes.adversarial import AdversarialRecipe, both, divergence, near
from fedrobust.training.recipes.recipe import FORWARD, RECIPES, Batch, StepLoss, weighted_mean


@RECIPES.register("trades")
@dataclass(frozen=True, kw_only=True)
class TRADES(AdversarialRecipe):
    """Trade clean accuracy against robustness (Zhang et al., 2019, arXiv:1901.08573, equation 5).

    Minimises L(f(x), y) + beta KL(f(x) || f(x')), where x' maximises the divergence in the ball, from a start near x.
    With a loss that adjusts logits by the client's class shares, so does the divergence, which is the calibrated one of
    CalFAT (Chen et al., 2022, arXiv:2205.14926): else a class that the client has not got, whose logit the loss leaves
    free, becomes the prediction of all its images, of which none diverges.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1]; 0: 2.5 epsilon / steps, with ten steps the paper's quarter of epsilon.
        warmup: see `AdversarialRecipe`.
        beta: weight of the divergence; the paper's 1 / lambda is 6 or 1.
    """

    one_class: ClassVar[bool] = True
    loss_passes: ClassVar[float] = 2.0

    beta: NonNegative = 6.0

    @property
    def passes(self) -> float:
        """Passes of a batch: also a forward pass of the clean images, from whose predictions those crafted move."""
        return super().passes + FORWARD

    def crafted(self, batch: Batch) -> tf.Tensor:
        """Return the images in the ball whose predictions diverge most from those of the clean ones."""
        clean = batch.images
        reference = tf.stop_gradient(batch.adjusted(batch.infer(clean)))

        def losses(images: tf.Tensor) -> tf.Tensor:
            return divergence(reference, batch.adjusted(batch.infer(images)))

        start = near(clean, self.radius(batch), batch.seed)
        return self.climbed(batch, losses, start, clean)

    def loss(self, batch: Batch, crafted: tf.Tensor) -> StepLoss:
        """Return the loss of the clean images plus the weighted divergence."""
        clean, attacked, statistics = both(batch, crafted)
        apart = divergence(batch.adjusted(clean), batch.adjusted(attacked))
        losses = batch.objective(clean, batch.targets) + self.beta * apart
        return StepLoss(weighted_mean(losses, batch.example_weights), clean, statistics)
