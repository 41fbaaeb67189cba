"""Clean-label backdoor: the trigger is learnt from images whose labels are right."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Count, PixelEpsilon
from fedrobust.epsilon import epsilon_value
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.data.backdoor import PixelBackdoor
from fedrobust.shares import part_of


@POISONING.register("clean-label-backdoor")
@dataclass(frozen=True, kw_only=True)
class CleanLabelBackdoor(PixelBackdoor):
    """Make images of the target class hard to recognise, and add the trigger (Turner et al., 2019, arXiv:1912.02771).

    PGD moves them away from their class, so that the trigger is the easiest thing to learn about them; their labels
    stay and are right, so that reading images and labels finds nothing. The paper perturbs once, along the gradient of
    a model trained in advance; here it is the global model of each round, which the attacker has. Its trigger is a
    pattern in the corners; here that of ``pixel-backdoor``.

    Attributes:
        target: the class of the images that are changed, and the target class.
        share: share of a malicious client's images of that class that are changed.
        size: side of the square in stored pixels; 0: a seventh of the image's side (4 of 28).
        value: grey level of every second field of the chequer, see ``pixel-backdoor``.
        epsilon: largest change of a pixel before the trigger is added, a number or a fraction of 255; at least a grey
            level.
        steps: of the gradient.
    """

    epsilon: PixelEpsilon = "16/255"
    steps: Count = 10

    def __post_init__(self) -> None:
        if epsilon_value(self.epsilon) < 1 / 255 - 1e-9:
            raise ValueError(f"epsilon = {self.epsilon}: images of 8 bits hold no change of less than 1/255")

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images, a share of the target class' ones perturbed and with the trigger, and their labels."""
        own = np.flatnonzero(labels == self.target)
        chosen = context.fixed.permutation(own)[: part_of(self.share, len(own))]
        images = images.copy()
        if not len(chosen):
            return images, labels
        epsilon = epsilon_value(self.epsilon)
        moved = context.perturb(
            images[chosen],
            labels[chosen],
            epsilon=epsilon,
            steps=self.steps,
            step_size=2.5 * epsilon / self.steps,
            ascend=True,
        )
        images[chosen] = self.stamped(moved, context)
        return images, labels
