"""Label noise: wrong labels among a site's training images."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import Share
from fedrobust.data.dataset import Split
from fedrobust.data.shifts.contract import SITE_SHIFTS
from fedrobust.shares import exact, round_half_up


@SITE_SHIFTS.register("label-noise")
@dataclass(frozen=True, kw_only=True)
class LabelNoise:
    """Give a share of a site's training images another label.

    Which images is drawn once for the study. Images are tested with their own labels.

    Attributes:
        share: of the images, rounded to a whole number.
        kind: ``uniform``: any other class with equal probability; ``next``: the class with the next number, the last
            one's is 0 (pair noise: Han et al., 2018, arXiv:1804.06872).

    Example:
        >>> split = Split(np.zeros((10, 2, 2, 1), np.uint8), np.zeros(10, np.int32))
        >>> LabelNoise(share=0.3)(split, 2, np.random.default_rng(0)).counts(2).tolist()
        [7, 3]
    """

    share: Share = 0.2
    kind: Literal["uniform", "next"] = "uniform"

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the images with wrong labels among theirs."""
        wrong = generator.permutation(len(split))[: round_half_up(exact(self.share) * len(split))]
        steps = 1 if self.kind == "next" else generator.integers(1, classes, len(wrong))
        labels = split.labels.copy()
        labels[wrong] = (labels[wrong] + steps) % classes
        return Split(split.images, labels)
