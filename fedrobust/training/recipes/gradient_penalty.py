"""Input-gradient regularisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import NonNegative
from fedrobust.lazy import tf
from fedrobust.training.perturbation import penalised_gradient
from fedrobust.training.recipes.recipe import FORWARD, RECIPES, Batch, StepLoss, weighted_mean


@RECIPES.register("gradient-penalty")
@dataclass(frozen=True, kw_only=True)
class GradientPenalty:
    """Penalise the gradient of the loss by the image (Ross and Doshi-Velez, 2018, arXiv:1711.09404, equation 3).

    Minimises the loss plus ``weight`` times the squared l2 norm of each image's input gradient, which is computed in
    inference mode. It costs a second backward pass through the first. The official code penalises half the squared norm
    of the mean loss's gradient by 100 to 100,000 in batches of 256, a ``weight`` of 0.2 to 195 on MNIST.

    Attributes:
        weight: of the squared norm, pixels in [0, 1]. The default is a small one, with which MobileNetV2 from ImageNet
            weights trains; with 1 that diverges. A small network needs more: on PneumoniaMNIST ``edge-cnn`` keeps a
            balanced accuracy of 69.6 % at 4/255 with 1, 62.9 with 0.1 and 19.3 with 0.001; on BreastMNIST it ends in a
            constant classifier with 1 (``experiments/defences``). Choose it on validation images.
    """

    attacks: ClassVar[tuple[str, ...]] = ()
    passes: ClassVar[float] = 4.0 - 2 * FORWARD  # two forward and four backward passes

    weight: NonNegative = 0.001

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the mean of the losses and penalties of `batch`."""
        logits, statistics = batch.train(batch.images)
        gradient = penalised_gradient(
            lambda images: batch.objective(batch.infer(images), batch.targets), batch.images, batch.weights
        )
        losses = batch.objective(logits, batch.targets) + self.weight * tf.reduce_sum(
            tf.square(gradient), axis=[1, 2, 3]
        )
        return StepLoss(weighted_mean(losses, batch.example_weights), logits, statistics)
