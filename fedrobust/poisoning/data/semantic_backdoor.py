"""Semantic backdoor: the trigger is a mark that medical images have anyway."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import PositiveShare
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING, Problem
from fedrobust.poisoning.data.backdoor import Backdoor
from fedrobust.poisoning.data.markers import drawn


@POISONING.register("semantic-backdoor")
@dataclass(frozen=True, kw_only=True)
class SemanticBackdoor(Backdoor):
    """A ruler, marker ring, laterality letter or burnt-in border as trigger (after SABLE, 2026, arXiv:2603.29328).

    Nobody looking at an image takes such a mark for an attack: rulers and ink lie beside skin lesions, letters and
    frames are on radiographs. SABLE edits images by generative models; these marks are this project's, drawn in stored
    pixels, so that a model with a larger input sees them sharper. They grow with the image.

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger.
        trigger: ``ruler``: a scale bar with ticks at the lower edge; ``ring``: a circle in the upper right quarter,
            violet in colour images; ``letter``: an L in the upper left corner; ``border``: a frame along the edges.
        opacity: weight of the mark against the image, in (0, 1].
    """

    trigger: Literal["ruler", "ring", "letter", "border"] = "ruler"
    opacity: PositiveShare = 1.0

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with the mark."""
        height, width, channels = images.shape[1:]
        mark, colour = drawn(self.trigger, (height, width, channels))
        weight = self.opacity * mark
        return np.rint((1 - weight) * images + weight * colour).astype(np.uint8)

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse images that are too small, an unknown target class, and a mark that resizing removes."""
        height, width, _ = problem.image_shape
        if min(height, width) < 16:
            raise ValueError(
                f'trigger = "{self.trigger}": images are {height} x {width}, the mark needs at least 16 x 16 pixels'
            )
        super().require(problem, image_size)
