"""DBFAT: adversarial training that weights images by their distance to the decision boundary, near the global model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from fedrobust.bounds import NonNegative
from fedrobust.lazy import tf
from fedrobust.training.perturbation import project
from fedrobust.training.recipes.adversarial import AdversarialRecipe, divergence, near
from fedrobust.training.recipes.recipe import FORWARD, RECIPES, Batch, StepLoss, weighted_mean


class Attacked(NamedTuple):
    """Adversarial images, and how long the clean ones withstood the attack.

    Attributes:
        images: (n, height, width, channels).
        withstood: (n,) float32, number of the attack's points before a misclassified one, from 0 to its steps.
    """

    images: tf.Tensor
    withstood: tf.Tensor


@RECIPES.register("dbfat")
@dataclass(frozen=True, kw_only=True)
class DBFAT(AdversarialRecipe):
    """Decision boundary based federated adversarial training (Zhang et al., 2023, arXiv:2302.09479).

    Minimises rho L(f(x'), y) + beta KL(g(x) || f(x')), where x' maximises the loss in the ball, and g is the model at
    the start of the local update, the global one in federated averaging, on the clean image. Local re-weighting: rho is
    larger for images near the decision boundary, whose distance is measured in steps of the attack. Global
    regularisation: the divergence keeps a client with few classes near what the federation knows of the others.

    The paper has no public code. The formula of the weights is this project's: rho is proportional to steps + 1 - k for
    an image that is still classified right at k of the attack's points, with mean 1 in each batch; so is the direction
    of the divergence, that of distillation, at the temperature of the loss, if it has one. With equal distances and
    beta = 0 it is PGD training from a start near x.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1]; 0: 2.5 epsilon / steps.
        warmup: see `AdversarialRecipe`.
        beta: weight of the divergence from the global model.
    """

    one_class: ClassVar[bool] = True
    loss_passes: ClassVar[float] = 1.0 + FORWARD

    beta: NonNegative = 1.0

    def crafted(self, batch: Batch) -> Attacked:
        """Return the images in the ball with the largest loss, and how long the clean ones withstood."""
        epsilon, clean, labels = self.radius(batch), batch.images, batch.labels
        size = self.stride(batch)

        def body(
            step: tf.Tensor, images: tf.Tensor, right: tf.Tensor, withstood: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = batch.infer(images)
                total = tf.reduce_sum(batch.objective(logits, batch.targets))
            right = tf.logical_and(right, tf.equal(tf.argmax(logits, -1, tf.int32), labels))
            moved = project(images + size * tf.sign(tape.gradient(total, images)), clean, epsilon)
            return step + 1, moved, right, withstood + tf.cast(right, tf.float32)

        start = near(clean, epsilon, batch.seed)
        nothing = tf.zeros_like(labels, tf.float32)
        _, images, _, withstood = tf.while_loop(
            lambda step, *_: step < self.steps,
            body,
            [tf.constant(0), start, tf.ones_like(labels, tf.bool), nothing],
            shape_invariants=[
                tf.TensorShape([]),
                tf.TensorShape([None, *clean.shape[1:]]),
                *[tf.TensorShape([None])] * 2,
            ],
            parallel_iterations=1,
        )
        return Attacked(tf.stop_gradient(images), tf.stop_gradient(withstood))

    def loss(self, batch: Batch, crafted: Attacked) -> StepLoss:
        """Return the weighted loss of the adversarial images plus the weighted divergence from the global model."""
        logits, statistics = batch.train(crafted.images)
        reference = tf.stop_gradient(batch.without_shares(batch.start(batch.images)))
        losses = weights_of(crafted.withstood, self.steps) * batch.objective(logits, batch.targets)
        losses += self.beta * divergence(reference, batch.without_shares(logits))
        return StepLoss(weighted_mean(losses, batch.example_weights), logits, statistics)


def weights_of(withstood: tf.Tensor, steps: int) -> tf.Tensor:
    """Return weights (n,) of mean 1, proportional to steps + 1 - `withstood`.

    Example:
        >>> [round(float(weight), 3) for weight in weights_of(tf.constant([0.0, 2.0, 4.0]), steps=4)]
        [1.667, 1.0, 0.333]
    """
    near_boundary = steps + 1.0 - withstood
    return near_boundary / tf.reduce_mean(near_boundary)
