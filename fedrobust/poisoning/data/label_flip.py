"""Train on wrong labels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import ClassNumber, PositiveShare
from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, Goal
from fedrobust.poisoning.contract import POISONING, Problem, require_class


@POISONING.register("label-flip")
@dataclass(frozen=True, kw_only=True)
class LabelFlip:
    """Change the labels of training images (Tolpegin et al., 2020, arXiv:2007.08432).

    Attributes:
        kind: ``all``: class c becomes C - 1 - c (the middle one of an odd number stays); ``targeted``: images of
            `source` are called `target`; ``random``: every changed label is another one, drawn.
        source: for ``targeted``.
        target: for ``targeted``.
        share: of the images concerned that get a wrong label.
    """

    kind: Literal["all", "targeted", "random"] = "all"
    source: ClassNumber = 0
    target: ClassNumber = 1
    share: PositiveShare = 1.0

    def __post_init__(self) -> None:
        if self.kind == "targeted" and self.source == self.target:
            raise ValueError(f"source = target = {self.source}: nothing would change")

    @property
    def aims(self) -> bool:
        """Whether the attacker wants particular answers."""
        return self.kind == "targeted"

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse classes that there are not."""
        if self.kind == "targeted":
            require_class(self, "source", problem)
            require_class(self, "target", problem)

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images with their new labels."""
        if self.kind == "all":
            wrong = context.classes - 1 - labels
        elif self.kind == "targeted":
            wrong = np.where(labels == self.source, self.target, labels)
        else:
            wrong = (labels + context.fixed.integers(1, context.classes, len(labels))) % context.classes
        chosen = context.fixed.random(len(labels)) < self.share
        return images, np.where(chosen, wrong, labels).astype(np.int32)

    def goal(self, split: Split, context: AttackContext) -> Goal | None:
        """Return the images of the source class, wanted as the target class; None where there is no such class."""
        rows = np.flatnonzero(split.labels == self.source)
        if self.kind != "targeted" or not len(rows):
            return None
        return Goal(split.images[rows], None, np.full(len(rows), self.target), rows)
