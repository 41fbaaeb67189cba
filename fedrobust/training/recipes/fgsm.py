"""Adversarial training with FGSM."""

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.bounds import Count, PixelEpsilon, PositiveShare
from fedrobust.epsilon import epsilon_value
from fedrobust.spec import SpecError
from fedrobust.training.recipes.pgd import PGDTraining
from fedrobust.training.recipes.recipe import RECIPES


@RECIPES.register("fgsm")
@dataclass(frozen=True, kw_only=True)
class FGSMTraining(PGDTraining):
    """Train on images perturbed by one signed gradient step (Goodfellow et al., 2014, arXiv:1412.6572, section 6).

    With `random_start=True, share=1.0` the fast form of Wong et al. (2020, arXiv:2001.03994), whose step is 1.25
    epsilon. By default there is no random start, epsilon is 0.001, and half of each batch remains clean.

    Attributes:
        epsilon: largest change of a pixel, in units of [0, 1], a number or a fraction such as "8/255".
        steps: 1.
        step_size: in units of [0, 1]; 0: epsilon, or 1.25 epsilon with a random start.
        random_start: start at a uniformly random point of the linf ball.
        share: share of each batch that is replaced, in (0, 1].
        warmup: see `AdversarialRecipe`.

    Raises:
        SpecError: `steps` is not 1.
    """

    attacks: ClassVar[tuple[str, ...]] = ("fgsm",)

    epsilon: PixelEpsilon = 0.001
    steps: Count = 1
    random_start: bool = False
    share: PositiveShare = 0.5

    def __post_init__(self) -> None:
        if self.steps != 1:
            raise SpecError(
                f"steps = {self.steps}: one step crosses the ball; choose pgd(steps={self.steps}), whose steps are "
                "smaller"
            )
        if not epsilon_value(self.step_size):
            step_size = epsilon_value(self.epsilon) * (1.25 if self.random_start else 1.0)
            object.__setattr__(self, "step_size", step_size)
