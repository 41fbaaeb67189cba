"""A universal perturbation: one for all images."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.models.protocol import Labels, TargetModel
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm, Threat
from fedrobust.randomness import Purpose, generator


@ATTACKS.register("universal")
@dataclass(frozen=True, kw_only=True)
class Universal(Attack):
    """One perturbation for all images (Moosavi-Dezfooli et al., 2016, arXiv:1610.08401).

    Gradient ascent of the images' mean loss, clipped so that misclassified images no longer contribute (Shafahi et
    al., 2018, arXiv:1811.11304, Algorithm 2), on the images that are attacked.

    Attributes:
        epochs: passes over the images.
        batch_size: images in a step.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    epochs: Count = 10
    batch_size: Count = 64
    perturbation: Images | None = field(default=None, repr=False, init=False)
    seen: int = field(default=0, repr=False, init=False)

    @property
    def spent(self) -> tuple[int, int]:
        """One query and one gradient for each image and epoch."""
        return self.seen, self.seen

    @property
    def passes(self) -> int:
        """One query; the ascent is shared by all images."""
        return 1

    def prepared(
        self, target: TargetModel, images: Images, labels: Labels, threat: Threat, epsilon: float, seed: int
    ) -> "Universal":
        """Return the attack with its perturbation, (1, height, width, channels)."""
        draw = generator(seed, Purpose.EVALUATION)
        nowhere = np.zeros((1, *images.shape[1:]), np.float32)
        shift = nowhere
        steps = self.epochs * -(-len(images) // self.batch_size)
        size = np.float32(2.5 * epsilon / np.sqrt(steps))
        for _ in range(self.epochs):
            order = draw.permutation(len(images))
            for start in range(0, len(order), self.batch_size):
                rows = np.sort(order[start : start + self.batch_size])
                shown = threat.stored(np.clip(images[rows] + shift, 0.0, 1.0), images[rows])
                seen = target.gradient(shown, labels[rows], "margin")
                pulling = (seen.losses < 0)[:, None, None, None]
                slope = np.nan_to_num(np.where(pulling, seen.gradients, 0.0)).mean(axis=0, keepdims=True)
                shift = _within(shift + size * threat.steepest(slope.astype(np.float32)), epsilon, threat)
        found = Universal(epochs=self.epochs, batch_size=self.batch_size)
        object.__setattr__(found, "perturbation", shift)
        object.__setattr__(found, "seen", self.epochs * len(images))
        return found

    def run(self, state: SearchState) -> None:
        """Add the perturbation to every image."""
        assert self.perturbation is not None, "prepared() comes first"
        state.query(state.clean + self.perturbation)
        state.keep()


def _within(shift: Images, epsilon: float, threat: Threat) -> Images:
    """Return a perturbation projected onto the ball of radius epsilon."""
    if threat.norm == "linf":
        return np.clip(shift, -epsilon, epsilon).astype(np.float32)
    length = float(np.sqrt((shift.astype(np.float64) ** 2).sum()))
    return shift * np.float32(min(1.0, epsilon / max(length, 1e-12)))
