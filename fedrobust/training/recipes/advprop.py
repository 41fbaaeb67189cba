"""AdvProp: clean and adversarial images with a set of BatchNorm each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Text
from fedrobust.memoize import part
from fedrobust.spec import SpecError, build
from fedrobust.training.recipes.adversarial import AdversarialRecipe
from fedrobust.training.recipes.awp import AWP
from fedrobust.training.recipes.recipe import (
    RECIPES,
    Batch,
    StepLoss,
    shares_statistics,
    weighted_mean,
)


@RECIPES.register("advprop")
@dataclass(frozen=True, kw_only=True)
class AdvProp:
    """Train on clean and on adversarial images with two sets of BatchNorm (Xie et al., 2020, arXiv:1911.09665).

    Minimises the loss of the clean images under the main set plus that of the inner recipe under the auxiliary set, in
    which its images are crafted, too (Algorithm 1). All other layers are in common. Both sets are trained, exchanged
    and averaged with the weights; evaluation, attacks and files have the main set alone, which has seen clean images
    only. The method was published for clean accuracy: what it keeps under attack is what passes through the common
    layers. The paper attacks with PGD at up to 4/255, in steps of 1/255.

    Attributes:
        recipe: the inner recipe, an adversarial one, such as "pgd(epsilon='4/255')", or "awp".

    Raises:
        SpecError: the inner recipe is not adversarial, or shares BatchNorm statistics (`fedrbn`).
    """

    two_batchnorms: ClassVar[bool] = True

    recipe: Text = "pgd"

    def __post_init__(self) -> None:
        if not isinstance(self.inner, AdversarialRecipe | AWP):
            raise SpecError(
                f"recipe = {self.recipe!r}: choose an adversarial recipe, such as pgd, trades or mart"
            )
        if shares_statistics(self.inner):
            raise SpecError(
                f"recipe = {self.recipe!r}: it has two sets of statistics of its own, one of which clients share; "
                "choose another, such as pgd, or training.recipe without advprop"
            )

    @part
    def inner(self) -> AdversarialRecipe | AWP:
        """The inner recipe."""
        inner: AdversarialRecipe | AWP = build(RECIPES, self.recipe)
        return inner

    @property
    def passes(self) -> float:
        """Passes of a batch: those of the inner recipe, and one of the clean images."""
        return self.inner.passes + 1.0

    @property
    def epsilon(self) -> float | str:
        """The inner recipe's epsilon."""
        return self.inner.epsilon

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks on which the inner recipe trains."""
        return self.inner.attacks

    @property
    def one_class(self) -> bool:
        """Whether the inner recipe is refused for multi-label data."""
        return bool(getattr(self.inner, "one_class", False))

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the sum of both losses, and the logits of the clean images."""
        logits, statistics = batch.train(batch.images)
        clean = weighted_mean(batch.objective(logits, batch.targets), batch.example_weights)
        attacked = self.inner(batch.auxiliary(statistics))
        return StepLoss(clean + attacked.loss, logits, attacked.statistics)
