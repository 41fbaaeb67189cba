"""Poison the training phase with adversarial images."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import Count, PixelEpsilon, PositiveShare
from fedrobust.epsilon import epsilon_value
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.shares import part_of


@dataclass(frozen=True, kw_only=True)
class _Crafted:
    epsilon: PixelEpsilon = "8/255"
    kind: Literal["adversarial", "targeted", "unlearnable"] = "adversarial"
    share: PositiveShare = 1.0

    steps = 1

    def __post_init__(self) -> None:
        if epsilon_value(self.epsilon) <= 0.5 / 255:
            raise ValueError(
                f"epsilon = {self.epsilon}: images of 8 bits hold no change of half a grey level (0.5/255) or less"
            )

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return images moved along the global model's gradient, rounded to 8 bits, with their labels."""
        epsilon = epsilon_value(self.epsilon)
        chosen = context.fixed.permutation(len(images))[: part_of(self.share, len(images))]
        images = images.copy()
        images[chosen] = context.perturb(
            images[chosen],
            (labels[chosen] + (self.kind == "targeted")) % context.classes,
            epsilon=epsilon,
            steps=self.steps,
            step_size=epsilon if self.steps == 1 else 2.5 * epsilon / self.steps,
            ascend=self.kind == "adversarial",
        )
        return images, labels


@POISONING.register("fgsm-images")
@dataclass(frozen=True, kw_only=True)
class FGSMImages(_Crafted):
    """Submit images that FGSM made against the current global model: the paper's poisoning of the training phase.

    They are 8-bit images, as a hospital's archive holds them: an epsilon of half a grey level or less is refused.

    Attributes:
        epsilon: largest change of a pixel, a number or a fraction of 255.
        kind: ``adversarial``: the loss of the label grows; ``targeted``: the image is moved towards the next class
            and keeps its label (Fowl et al., 2021, arXiv:2106.10807); ``unlearnable``: the loss falls, so that nothing
            is left to learn (Huang et al., 2021, arXiv:2101.04898).
        share: of the images that are replaced.
    """


@POISONING.register("pgd-images")
@dataclass(frozen=True, kw_only=True)
class PGDImages(_Crafted):
    """Submit images that PGD (Madry et al., 2017, arXiv:1706.06083) made against the current global model.

    Attributes:
        epsilon: largest change of a pixel, a number or a fraction of 255.
        kind: see fgsm-images.
        share: of the images that are replaced.
        steps: of the gradient.
    """

    steps: Count = 10
