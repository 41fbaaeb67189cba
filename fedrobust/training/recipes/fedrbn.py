"""FedRBN: BatchNorm statistics of adversarial images are passed to clients that do not train adversarially."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Share
from fedrobust.lazy import tf
from fedrobust.training.perturbation import random_start
from fedrobust.training.recipes.adversarial import AdversarialRecipe
from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, weighted_mean


@RECIPES.register("fedrbn")
@dataclass(frozen=True, kw_only=True)
class FedRBN(AdversarialRecipe):
    """Propagate robustness from some clients to all (Hong et al., 2021, arXiv:2106.10196): two sets of statistics.

    A client that trains with this recipe minimises (1 - weight) L(f(x), y) + weight L(f(x'), y), where x' maximises the
    loss in the ball from a random start. Clean and adversarial images are two batches, each normalised by its own
    statistics, with the scales and shifts of BatchNorm in common. The statistics of adversarial images are those that
    the client sends, and with which images are crafted.

    The clients that ``training.recipe-clients`` leaves out have no adversarial images. They minimise (1 - calibration)
    L(f(x), y) + calibration L(f_a(x), y), where f_a normalises by the adversarial statistics that the client received
    (pseudo-noise calibration), and return these statistics unchanged. Only clients that measured statistics count in
    their mean. The global model has this one set, in evaluation, under attack and as a file: the clean set, each
    client's own, is of use only to who knows that an image is not adversarial.

    The official code keeps BatchNorm's arrays at each client, averages the adversarial statistics for each by the
    similarity of clean ones, and calibrates after eleven rounds, if told to; it steps by min(1.25 epsilon, epsilon +
    4/255) / steps and clips the calibration loss' gradient at the norm 10; its test crafts and predicts with the clean
    set, or with the adversarial one.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps; 7 in the official code.
        step_size: in units of [0, 1]; 0: 2.5 epsilon / steps.
        warmup: see `AdversarialRecipe`.
        weight: of the loss on adversarial images; 0.5 in the official code.
        calibration: weight of the other clients' loss with adversarial statistics; 0: none.
    """

    shares_statistics: ClassVar[bool] = True
    loss_passes: ClassVar[float] = 2.0

    weight: Share = 0.5
    calibration: Share = 0.5

    @property
    def others(self) -> str:
        """The recipe of clients that do not train adversarially."""
        return f"pseudo-noise(weight={self.calibration})"

    def crafted(self, batch: Batch) -> tf.Tensor:
        """Return the images in the ball with the largest loss, from a random start."""
        clean = batch.images

        def losses(images: tf.Tensor) -> tf.Tensor:
            return batch.objective(batch.infer(images), batch.targets)

        start = random_start(clean, self.radius(batch), batch.seed)
        return self.climbed(batch, losses, start, clean)

    def loss(self, batch: Batch, crafted: tf.Tensor) -> StepLoss:
        """Return the weighted loss of clean and adversarial images, and the statistics of the latter."""
        clean, _ = batch.train(batch.images)
        attacked, statistics = batch.train(crafted)
        losses = (1 - self.weight) * batch.objective(clean, batch.targets)
        losses += self.weight * batch.objective(attacked, batch.targets)
        return StepLoss(weighted_mean(losses, batch.example_weights), clean, statistics)


@RECIPES.register("pseudo-noise", listed=False)
@dataclass(frozen=True, kw_only=True)
class PseudoNoise:
    """Train on clean images, also as normalised by received statistics, which stay as they are; see `FedRBN`.

    It is not listed: without clients that train with `FedRBN` no client moves the statistics.

    Attributes:
        weight: of the loss with the received statistics.
    """

    attacks: ClassVar[tuple[str, ...]] = ()
    passes: ClassVar[float] = 2.0

    weight: Share = 0.5

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the weighted loss of the clean images under both sets of statistics."""
        logits, _ = batch.train(batch.images)
        losses = (1 - self.weight) * batch.objective(logits, batch.targets)
        if self.weight:
            losses += self.weight * batch.objective(batch.infer(batch.images), batch.targets)
        return StepLoss(weighted_mean(losses, batch.example_weights), logits, list(batch.statistics))
