"""Free adversarial training: each backward pass updates weights and perturbation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from fedrobust.bounds import MOST, PixelEpsilon
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import tf
from fedrobust.training.perturbation import in_range
from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, weighted_mean

Replays = Annotated[int, Field(ge=2, le=MOST, description="a whole number from 2")]


@RECIPES.register("free")
@dataclass(frozen=True, kw_only=True)
class Free:
    """Free adversarial training (Shafahi et al., 2019, arXiv:1904.12843, Algorithm 1).

    Each batch is trained `replays` times in a row. The gradient by the perturbed images comes from the same backward
    pass as that by the weights: the perturbation moves by epsilon along its sign, and is carried on to the next replay
    and to the next batch. In each local update it starts from zero.

    A replay is a step of the optimiser and one forward and backward pass; metrics count all of them. To compare at
    equal cost, divide ``training.epochs`` or the rounds by `replays`, as the paper does. The gradient is that of
    training mode, unlike in the other recipes, since it is the same pass.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        replays: m of the paper, the steps of each batch.
    """

    attacks: ClassVar[tuple[str, ...]] = ("fgsm",)

    epsilon: PixelEpsilon = 8 / 255
    replays: Replays = 8

    @property
    def passes(self) -> float:
        """Passes of a batch: one for each replay."""
        return float(self.replays)

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the mean loss of the perturbed images."""
        perturbation = batch.carried[0][: tf.shape(batch.images)[0]]
        logits, statistics = batch.train(in_range(batch.images + perturbation, batch.images))
        losses = batch.objective(logits, batch.targets)
        return StepLoss(weighted_mean(losses, batch.example_weights), logits, statistics)

    def carry(self, size: tf.Tensor, shape: tuple[int, int, int], seed: tf.Tensor) -> list[tf.Tensor]:
        """Return a perturbation of zero for the largest batch; smaller batches use its first rows."""
        return [tf.zeros([size, *shape])]

    def moved(self, carried: list[tf.Tensor], gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the perturbation after one signed step of length epsilon, within the ball."""
        epsilon = epsilon_value(self.epsilon)
        stepped = carried[0] + epsilon * tf.sign(gradients[0])
        return [tf.clip_by_value(stepped, -epsilon, epsilon)]
