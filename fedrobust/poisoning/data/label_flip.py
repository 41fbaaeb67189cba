"""Label flipping: train on wrong labels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import ClassNumber, PositiveShare
from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, SuccessCriterion
from fedrobust.poisoning.contract import POISONING, Problem, require_class


@POISONING.register("label-flip")
@dataclass(frozen=True, kw_only=True)
class LabelFlip:
    """Flip the labels of training images (Tolpegin et al., 2020, arXiv:2007.08432).

    Attributes:
        kind: ``all``: class c becomes C - 1 - c (the middle one of an odd number stays); ``targeted``: `source` becomes
            `target`; ``random``: a wrong class, drawn uniformly.
        source: flipped class of ``targeted``.
        target: label given by ``targeted``.
        share: share of the labels concerned that are flipped.
    """

    kind: Literal["all", "targeted", "random"] = "all"
    source: ClassNumber = 0
    target: ClassNumber = 1
    share: PositiveShare = 1.0

    def __post_init__(self) -> None:
        if self.kind == "targeted" and self.source == self.target:
            raise ValueError(f"source = target = {self.source}: nothing would change")

    @property
    def targeted(self) -> bool:
        """Whether the attack is targeted."""
        return self.kind == "targeted"

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse class numbers that the data set does not have."""
        if self.kind == "targeted":
            require_class(self, "source", problem)
            require_class(self, "target", problem)

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images with flipped labels."""
        if self.kind == "all":
            wrong = context.classes - 1 - labels
        elif self.kind == "targeted":
            wrong = np.where(labels == self.source, self.target, labels)
        else:
            wrong = (labels + context.fixed.integers(1, context.classes, len(labels))) % context.classes
        chosen = context.fixed.random(len(labels)) < self.share
        return images, np.where(chosen, wrong, labels).astype(np.int32)

    def criterion(self, split: Split, context: AttackContext) -> SuccessCriterion | None:
        """Return the images of the source class, with the target class as target; None if there are none."""
        rows = np.flatnonzero(split.labels == self.source)
        if self.kind != "targeted" or not len(rows):
            return None
        return SuccessCriterion(split.images[rows], None, np.full(len(rows), self.target), rows)
