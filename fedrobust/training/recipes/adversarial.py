"""The common part of adversarial recipes: crafted images, and a loss of clean and crafted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fedrobust.bounds import Count, PixelEpsilon, PixelStep, Share
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import tf
from fedrobust.training.perturbation import Losses, ascend, project
from fedrobust.training.recipes.recipe import Batch, StepLoss

NEAR = 0.001
"""Standard deviation of the noise from which TRADES and MART start, in units of [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class AdversarialRecipe:
    """A recipe that crafts adversarial images, and then computes the loss of a step.

    The two parts are separate so that `AWP` can evaluate the loss at other weights on the same images. Images are
    crafted in inference mode: in training mode they would change BatchNorm's moving statistics, and an image's
    perturbation would depend on the other images of the batch.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: gradient steps.
        step_size: in units of [0, 1], a number or a fraction such as "2/255"; 0: `across` the ball.
        warmup: share of the training with the recipe over which epsilon and step size rise linearly from 0, as epsilon
            does in Qin et al. (2019, arXiv:1907.02610); 0: they are constant.
    """

    attacks: ClassVar[tuple[str, ...]] = ("pgd",)
    loss_passes: ClassVar[float] = 1.0
    """Passes of the loss and its gradient, each a forward and a backward pass."""

    epsilon: PixelEpsilon = 8 / 255
    steps: Count = 10
    step_size: PixelStep = 0.0
    warmup: Share = 0.0

    @property
    def passes(self) -> float:
        """Passes of a batch: one for each step, and those of the loss."""
        return self.steps + self.loss_passes

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the loss of `batch`."""
        return self.loss(batch, self.crafted(batch))

    def crafted(self, batch: Batch) -> Any:
        """Return the adversarial images, or a tuple that begins with them; no gradient flows through them."""
        raise NotImplementedError

    def loss(self, batch: Batch, crafted: Any) -> StepLoss:
        """Return the loss of `batch` and its adversarial images."""
        raise NotImplementedError

    def growth(self, batch: Batch) -> float | tf.Tensor:
        """Return the factor of epsilon and step size at this point of the training, in [0, 1]."""
        return tf.minimum(batch.progress / self.warmup, 1.0) if self.warmup else 1.0

    def radius(self, batch: Batch) -> float | tf.Tensor:
        """Return epsilon at this point of the training, in units of [0, 1]."""
        return self.growth(batch) * epsilon_value(self.epsilon)

    def stride(self, batch: Batch) -> float | tf.Tensor:
        """Return the step size at this point of the training."""
        whole = epsilon_value(self.step_size) or across(epsilon_value(self.epsilon), self.steps)
        return self.growth(batch) * whole

    def climbed(self, batch: Batch, losses: Losses, start: tf.Tensor, clean: tf.Tensor) -> tf.Tensor:
        """Return `start` after signed gradient ascent of `losses` in the ball around `clean`; see `climb`, `stride`."""
        return climb(losses, start, clean, self.stride(batch), self.radius(batch), self.steps)


def across(epsilon: float, steps: int) -> float:
    """Return the usual step size of `steps` gradient steps, 2.5 epsilon / steps (Madry et al., 2017, arXiv:1706.06083).

    With it few steps cross the linf ball as many do, so that recipes with equal steps reach equally far.

    Args:
        epsilon: the ball's radius, in units of [0, 1].
        steps: at least 1.

    Returns:
        In units of [0, 1].

    Example:
        >>> across(0.1, 10)
        0.025
    """
    return 2.5 * epsilon / steps


def climb(
    losses: Losses,
    start: tf.Tensor,
    clean: tf.Tensor,
    step_size: float | tf.Tensor,
    epsilon: float | tf.Tensor,
    steps: int,
) -> tf.Tensor:
    """Return images after `steps` signed gradient steps, each projected; no gradient flows through them.

    Args:
        losses: images to losses (n,), which are increased.
        start: (n, height, width, channels), in the ball.
        clean: its centres.
        step_size: in units of [0, 1].
        epsilon: its radius (linf).
        steps: at least 1.
    """
    if steps == 1:
        return tf.stop_gradient(ascend(losses, start, clean, step_size, epsilon))
    (images,) = tf.while_loop(
        lambda step, _: step < steps,
        lambda step, images: (step + 1, ascend(losses, images, clean, step_size, epsilon)),
        [tf.constant(0), start],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, *clean.shape[1:]])],
        parallel_iterations=1,
    )[1:]
    return tf.stop_gradient(images)


def near(clean: tf.Tensor, epsilon: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return each clean image with a little Gaussian noise, where a divergence from it has a gradient."""
    return project(clean + NEAR * tf.random.stateless_normal(tf.shape(clean), seed), clean, epsilon)


def both(batch: Batch, crafted: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Return the logits of the clean and of the crafted images in training mode, and the new statistics.

    They are two batches, each normalised by its own BatchNorm statistics, as in the official code of TRADES and MART:
    in one batch, a network that is measured with statistics of clean images answers otherwise than it learnt to. The
    new statistics are the mean of both.
    """
    clean, first = batch.train(batch.images)
    attacked, second = batch.train(crafted)
    return clean, attacked, [0.5 * (one + other) for one, other in zip(first, second, strict=True)]


def divergence(reference: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return KL(softmax(reference) || softmax(logits)) of every image, (n,).

    Example:
        >>> round(float(divergence(tf.constant([[0.0, 0.0]]), tf.constant([[1.0, -1.0]]))[0]), 4)
        0.4338
    """
    log_reference, log_other = tf.nn.log_softmax(reference), tf.nn.log_softmax(logits)
    return tf.reduce_sum(tf.exp(log_reference) * (log_reference - log_other), axis=-1)
