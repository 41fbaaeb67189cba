"""FGSM training with gradient alignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import NonNegative, PixelEpsilon, PositiveShare
from fedrobust.lazy import tf
from fedrobust.training.perturbation import input_gradient, penalised_gradient, random_start
from fedrobust.training.recipes.fgsm import FGSMTraining
from fedrobust.training.recipes.recipe import FORWARD, RECIPES, Batch, StepLoss


@RECIPES.register("grad-align")
@dataclass(frozen=True, kw_only=True)
class GradAlign(FGSMTraining):
    """FGSM training whose gradients are aligned in the ball, against catastrophic overfitting.

    Adds weight (1 - cos(g(x), g(x + r))) to the loss of FGSM with a random start, where g is the input gradient of the
    loss and r a uniformly random point of the ball (Andriushchenko and Flammarion, 2020, arXiv:2007.02617, equation 4).
    As in the official code, the regulariser's gradient flows through the second input gradient only. Other than there,
    both are computed in inference mode, and the first step starts at a random point: the official scripts start at the
    image (`random_start=False`) and give lambda 0.063 at 4/255 and 0.2 at 8/255.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: 1.
        step_size: in units of [0, 1]; 0: 1.25 epsilon.
        random_start: start at a uniformly random point of the linf ball.
        share: share of each batch that is replaced, in (0, 1].
        warmup: see `AdversarialRecipe`.
        weight: of the regulariser; the paper's lambda, 0.2 at 8/255 on CIFAR-10.
    """

    loss_passes: ClassVar[float] = 5.0 - 2 * FORWARD  # three forward and five backward passes

    epsilon: PixelEpsilon = 8 / 255
    random_start: bool = True
    share: PositiveShare = 1.0
    weight: NonNegative = 0.2

    def loss(self, batch: Batch, crafted: tf.Tensor) -> StepLoss:
        """Return the loss of FGSM training plus the weighted misalignment."""

        def losses(images: tf.Tensor) -> tf.Tensor:
            return batch.objective(batch.infer(images), batch.targets)

        # Another point than the start of the attack. Augmentations fold in their places, from 1.
        elsewhere = random_start(batch.images, self.radius(batch), tf.random.fold_in(batch.seed, 0))
        here = tf.stop_gradient(input_gradient(losses, batch.images))
        there = penalised_gradient(losses, elsewhere, batch.weights)
        outcome = super().loss(batch, crafted)
        return outcome._replace(loss=outcome.loss + self.weight * tf.reduce_mean(1.0 - cosine(here, there)))


def cosine(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return the cosine of the angle between the arrays of each image, (n,); 1 where one of them is zero.

    Example:
        >>> two = tf.reshape(tf.constant([[1.0, 0.0], [0.0, 0.0]]), (2, 1, 2, 1))
        >>> [round(float(each), 4) for each in cosine(two, tf.ones((2, 1, 2, 1)))]
        [0.7071, 1.0]
    """
    products, squares, others = (
        tf.reduce_sum(left * right, axis=[1, 2, 3])
        for left, right in ((one, other), (one, one), (other, other))
    )
    defined = (squares > 0) & (others > 0)
    # Safe values where it is undefined: the gradient of a square root at 0 is infinite, and 0 times it is not a number.
    norms = tf.sqrt(tf.where(defined, squares, 1.0)) * tf.sqrt(tf.where(defined, others, 1.0))
    return tf.where(defined, products / norms, 1.0)
