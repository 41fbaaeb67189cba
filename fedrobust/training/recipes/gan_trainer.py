"""The generative adversarial trainer: a network learns to perturb the images that the classifier trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from fedrobust.bounds import Count, NonNegative, PixelEpsilon, Positive, Share
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import tf
from fedrobust.training.optimizers.adam import Adam
from fedrobust.training.optimizers.optimizer import Step
from fedrobust.training.perturbation import in_range
from fedrobust.training.recipes.adversarial import both
from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, weighted_mean

ARRAYS = 4
"""Kernel and bias of two convolutions."""


@RECIPES.register("gan-trainer")
@dataclass(frozen=True, kw_only=True)
class GANTrainer:
    """Generative adversarial trainer (Lee et al., 2017, arXiv:1705.03387).

    A generator G maps the gradient g of each image's loss to a perturbation. The classifier minimises
    clean L(f(x), y) + (1 - clean) L(f(x + G(g)), y); the generator minimises the probability of the label on x + G(g),
    plus penalty times its mean squared perturbation. Both step at once, from one backward pass.
    With a loss that adjusts logits by the client's class shares, it is the adjusted ones' probability, as in `TRADES`.

    Four choices are ours. The paper trains both in turns. G(g) = epsilon tanh(g / rms(g) + h(g / rms(g))), with h two 3
    x 3 convolutions, so that perturbations are in the linf ball of the other recipes. h begins as 0: the first images
    are those of a smoothed FGSM. The generator belongs to the local update, in which it begins anew: nothing of it is
    sent to the server.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        clean: weight of the clean images' loss.
        penalty: weight of the mean of (perturbation / epsilon)^2 in the generator's loss.
        width: channels of the generator's hidden layer.
        rate: learning rate of the generator's Adam.
    """

    attacks: ClassVar[tuple[str, ...]] = ("fgsm",)
    one_class: ClassVar[bool] = True
    passes: ClassVar[float] = 4.0

    epsilon: PixelEpsilon = 8 / 255
    clean: Share = 0.5
    penalty: NonNegative = 0.01
    width: Count = 16
    rate: Positive = 0.01

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the classifier's loss; its gradient by the generator is that of the generator's loss."""
        noise = self.noise(batch.carried[:ARRAYS], slopes(batch))
        perturbed = in_range(batch.images + epsilon_value(self.epsilon) * noise, batch.images)
        clean, attacked, statistics = both(batch, tf.stop_gradient(perturbed))
        losses = self.clean * batch.objective(clean, batch.targets)
        losses += (1.0 - self.clean) * batch.objective(attacked, batch.targets)
        held = batch.at([tf.stop_gradient(weight) for weight in batch.weights])
        probabilities = tf.nn.softmax(batch.adjusted(held.infer(perturbed)))
        sizes = tf.reduce_mean(noise**2, axis=[1, 2, 3])
        rival = tf.reduce_mean(
            tf.gather(probabilities, batch.labels, axis=1, batch_dims=1) + self.penalty * sizes
        )
        # Of the value 0: it adds the generator's gradient alone.
        opposed = rival - tf.stop_gradient(rival)
        return StepLoss(weighted_mean(losses, batch.example_weights) + opposed, clean, statistics)

    def noise(self, generator: Sequence[tf.Tensor], slopes: tf.Tensor) -> tf.Tensor:
        """Return the perturbations over epsilon, in [-1, 1], of normalised gradients (n, height, width, channels)."""
        first, shift, second, bias = generator
        hidden = tf.nn.relu(tf.nn.conv2d(slopes, first, 1, "SAME") + shift)
        return tf.tanh(slopes + tf.nn.conv2d(hidden, second, 1, "SAME") + bias)

    def carry(self, size: tf.Tensor, shape: tuple[int, int, int], seed: tf.Tensor) -> list[tf.Tensor]:
        """Return the generator's arrays, the slots of its optimiser, and the number of its next step."""
        arrays: list[tf.Tensor] = []
        for one, other in pairwise((shape[2], self.width, shape[2])):
            scale = (2 / (9 * one)) ** 0.5 if not arrays else 0.0
            kernel = tf.random.stateless_normal([3, 3, one, other], seed, stddev=scale)
            arrays += [kernel, tf.zeros([other])]
        return [*arrays, *Adam().start(arrays), tf.constant(1.0)]

    def moved(self, carried: list[tf.Tensor], gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the generator after a step of Adam."""
        *slots, number = carried[ARRAYS:]
        at = Step(number, tf.constant(self.rate, tf.float32))
        arrays, slots = Adam().step(at, carried[:ARRAYS], gradients[:ARRAYS], slots)
        return [*arrays, *slots, number + 1]


def slopes(batch: Batch) -> tf.Tensor:
    """Return the gradient of each image's loss over its root mean square, (n, height, width, channels); 0 stays 0."""
    with tf.GradientTape() as tape:
        tape.watch(batch.images)
        loss = tf.reduce_sum(batch.objective(batch.infer(batch.images), batch.targets))
    slope = tape.gradient(loss, batch.images)
    size = tf.sqrt(tf.reduce_mean(slope**2, axis=[1, 2, 3], keepdims=True))
    return tf.stop_gradient(tf.math.divide_no_nan(slope, size))
