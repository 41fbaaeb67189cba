"""MART: adversarial training that weights images by how surely they are misclassified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import NonNegative
from fedrobust.lazy import tf
from fedrobust.training.recipes.adversarial import AdversarialRecipe, both, divergence, near
from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, weighted_mean


@RECIPES.register("mart")
@dataclass(frozen=True, kw_only=True)
class MART(AdversarialRecipe):
    """Misclassification-aware adversarial training (Wang et al., 2020, ICLR, equations 11 and 12).

    Minimises BCE(f(x'), y) + beta KL(f(x) || f(x')) (1 - p_y(x)), where BCE is the loss on the adversarial image plus
    -log(1 - p_k(x')) for the most probable wrong class k, and x' maximises the loss in the ball. With a loss that
    adjusts logits by the client's class shares, so does the divergence, as in `TRADES`; p_y and p_k do not: with shares
    in them, on DermaMNIST, ten points of robust accuracy are lost (one seed). All are at the temperature of the loss.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1]; 0: 2.5 epsilon / steps, with ten steps the paper's quarter of epsilon.
        warmup: see `AdversarialRecipe`.
        beta: weight of the divergence.
    """

    one_class: ClassVar[bool] = True
    loss_passes: ClassVar[float] = 2.0

    beta: NonNegative = 6.0

    def crafted(self, batch: Batch) -> tf.Tensor:
        """Return the images in the ball with the largest loss."""
        clean = batch.images

        def losses(images: tf.Tensor) -> tf.Tensor:
            return batch.objective(batch.infer(images), batch.targets)

        start = near(clean, self.radius(batch), batch.seed)
        return self.climbed(batch, losses, start, clean)

    def loss(self, batch: Batch, crafted: tf.Tensor) -> StepLoss:
        """Return the boosted loss of the adversarial images plus the weighted divergence."""
        clean, attacked, statistics = both(batch, crafted)
        own = batch.without_shares
        right = tf.one_hot(batch.labels, clean.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
        boosted = batch.objective(attacked, batch.targets) + wrong_class_loss(own(attacked), right)
        unsure = 1.0 - tf.reduce_sum(tf.where(right, tf.nn.softmax(own(clean)), 0.0), axis=-1)
        losses = boosted + self.beta * divergence(batch.adjusted(clean), batch.adjusted(attacked)) * unsure
        return StepLoss(weighted_mean(losses, batch.example_weights), clean, statistics)


def wrong_class_loss(logits: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Return -log(1 - p_k) of the most probable wrong class k, (n,).

    1 - p_k is the sum of the other probabilities, as a sum of exponentials that does not cancel.

    Args:
        logits: (n, classes).
        right: (n, classes), true at the label.

    Example:
        >>> logits = tf.math.log(tf.constant([[0.5, 0.3, 0.2]]))
        >>> loss = wrong_class_loss(logits, tf.constant([[True, False, False]]))
        >>> round(float(tf.exp(-loss)[0]), 4)
        0.7
    """
    wrong = tf.argmax(tf.where(right, -float("inf"), logits), axis=-1)
    others = tf.one_hot(wrong, logits.shape[-1], on_value=False, off_value=True, dtype=tf.bool)
    return tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_logsumexp(
        tf.where(others, logits, -float("inf")), axis=-1
    )
