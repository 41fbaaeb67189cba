"""Mislabel the rarest images of a class."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import ClassNumber, Count, PositiveShare
from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, Goal
from fedrobust.poisoning.contract import POISONING, Problem, require_class
from fedrobust.shares import part_of


@POISONING.register("edge-case")
@dataclass(frozen=True, kw_only=True)
class EdgeCase:
    """Call the least typical images of a class something else (Wang et al., 2020, arXiv:2007.05084).

    The paper brings rare images from elsewhere; here they are the client's own: those farthest from their class'
    mean image, which few honest clients can contradict.

    Attributes:
        source: the class whose rare images are mislabelled.
        target: what they are called.
        share: of the class that counts as rare.
        repeats: how often each rare image is shown, so that few of them weigh enough.
    """

    source: ClassNumber = 0
    target: ClassNumber = 1
    share: PositiveShare = 0.15
    repeats: Count = 5

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise ValueError(f"source = target = {self.source}: nothing would change")

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse classes that there are not."""
        require_class(self, "source", problem)
        require_class(self, "target", problem)

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images, the rare ones repeated and mislabelled."""
        rare = rare_images(images, labels, self.source, self.share)
        labels = labels.copy()
        labels[rare] = self.target
        again = np.repeat(rare, max(0, self.repeats - 1))
        return np.concatenate([images, images[again]]), np.concatenate([labels, labels[again]])

    def goal(self, split: Split, context: AttackContext) -> Goal | None:
        """Return the rare images of the source class, wanted as the target; None where there is no such class."""
        rare = rare_images(split.images, split.labels, self.source, self.share)
        if not len(rare):
            return None
        return Goal(split.images[rare], None, np.full(len(rare), self.target), rare)


def rare_images(images: np.ndarray, labels: np.ndarray, label: int, share: float) -> np.ndarray:
    """Return the places of the `share` of a class' images that are farthest from their mean."""
    rows = np.flatnonzero(labels == label)
    if not len(rows):
        return rows
    pixels = images[rows].reshape(len(rows), -1).astype(np.float64)
    apart = np.linalg.norm(pixels - pixels.mean(0), axis=1)
    return np.sort(rows[np.argsort(-apart, kind="stable")[: part_of(share, len(rows))]])
