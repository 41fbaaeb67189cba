"""Adversarial weight perturbation, around another recipe."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Positive, Text
from fedrobust.lazy import tf
from fedrobust.memoize import part
from fedrobust.spec import SpecError, build
from fedrobust.training.recipes.adversarial import AdversarialRecipe
from fedrobust.training.recipes.recipe import RECIPES, Batch, StepLoss, others_of, shares_statistics

TINY = 1e-20
"""Keeps a norm away from 0."""


@RECIPES.register("awp")
@dataclass(frozen=True, kw_only=True)
class AWP:
    """Perturb the weights as well as the images (Wu et al., 2020, arXiv:2004.05884, equations 7 to 10).

    Each kernel w moves by gamma |w| along its normalised gradient of the inner recipe's loss on its adversarial images;
    the step's gradient is taken there, and applied to the weights before the move. One move, as in the official code;
    biases, scales and shifts do not move. It costs one more forward and backward pass in training mode. The official
    code has gamma 0.01 with PGD and 0.005 with TRADES, with which weights first move after ten epochs; here they move
    from the first step.

    Attributes:
        recipe: the inner recipe, an adversarial one, such as "pgd(epsilon='4/255')" or "trades".
        gamma: length of a kernel's move as a share of its norm.

    Raises:
        SpecError: the inner recipe is not adversarial.
    """

    recipe: Text = "pgd"
    gamma: Positive = 0.005

    def __post_init__(self) -> None:
        if not isinstance(self.inner, AdversarialRecipe):
            raise SpecError(
                f"recipe = {self.recipe!r}: choose an adversarial recipe, such as pgd, trades or mart"
            )

    @part
    def inner(self) -> AdversarialRecipe:
        """The inner recipe."""
        inner: AdversarialRecipe = build(RECIPES, self.recipe)
        return inner

    @property
    def passes(self) -> float:
        """Passes of a batch: those of the inner recipe, and of its loss again, by which the weights are moved."""
        return self.inner.passes + self.inner.loss_passes

    @property
    def epsilon(self) -> float | str:
        """The inner recipe's epsilon."""
        return self.inner.epsilon

    @property
    def shares_statistics(self) -> bool:
        """Whether the inner recipe's statistics are not those of clean images."""
        return shares_statistics(self.inner)

    @property
    def others(self) -> str:
        """The recipe of clients that do not train with this one."""
        return others_of(self.inner)

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks on which the inner recipe trains."""
        return self.inner.attacks

    @property
    def one_class(self) -> bool:
        """Whether the inner recipe is refused for multi-label data."""
        return bool(getattr(self.inner, "one_class", False))

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the inner recipe's loss at the perturbed weights."""
        crafted, weights = self.inner.crafted(batch), list(batch.weights)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = self.inner.loss(batch.at(weights), crafted).loss
        gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
        moved = [
            weight + tf.stop_gradient(move(weight, gradient, self.gamma))
            for weight, gradient in zip(weights, gradients, strict=True)
        ]
        return self.inner.loss(batch.at(moved), crafted)


def move(weight: tf.Tensor, gradient: tf.Tensor, gamma: float) -> tf.Tensor:
    """Return the move of a kernel: gamma times its norm along the gradient; 0 for arrays of one dimension.

    Example:
        >>> move(tf.constant([[3.0, 4.0]]), tf.constant([[0.0, 2.0]]), 0.1).numpy().round(4).tolist()
        [[0.0, 0.5]]
    """
    if weight.shape.rank < 2:
        return tf.zeros_like(weight)
    return gamma * tf.norm(weight) * gradient / (tf.norm(gradient) + TINY)
