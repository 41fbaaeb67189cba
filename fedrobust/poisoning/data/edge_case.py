"""Edge-case attack: mislabel atypical images of a class."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import ClassNumber, Count, PositiveShare
from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, SuccessCriterion
from fedrobust.poisoning.contract import POISONING, Problem, require_class
from fedrobust.shares import part_of
from fedrobust.vectors import lengths


@POISONING.register("edge-case")
@dataclass(frozen=True, kw_only=True)
class EdgeCase:
    """Mislabel the least typical images of a class (Wang et al., 2020, arXiv:2007.05084).

    The paper adds rare images of another source; here they are the client's own images that are farthest from the mean
    image of their class, of which honest clients have few.

    Attributes:
        source: the class whose atypical images are mislabelled.
        target: the label that they get.
        share: share of the class that counts as atypical.
        repeats: copies of each mislabelled image in the training data, so that few images have enough weight.
    """

    source: ClassNumber = 0
    target: ClassNumber = 1
    share: PositiveShare = 0.15
    repeats: Count = 5

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise ValueError(f"source = target = {self.source}: nothing would change")

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse class numbers that the data set does not have."""
        require_class(self, "source", problem)
        require_class(self, "target", problem)

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images, the atypical ones repeated and mislabelled."""
        rare = rare_images(images, labels, self.source, self.share)
        labels = labels.copy()
        labels[rare] = self.target
        again = np.repeat(rare, max(0, self.repeats - 1))
        return np.concatenate([images, images[again]]), np.concatenate([labels, labels[again]])

    def criterion(self, split: Split, context: AttackContext) -> SuccessCriterion | None:
        """Return the atypical images of the source class, with the target class as target; None if there are none."""
        rare = rare_images(split.images, split.labels, self.source, self.share)
        if not len(rare):
            return None
        return SuccessCriterion(split.images[rare], None, np.full(len(rare), self.target), rare)


def rare_images(images: np.ndarray, labels: np.ndarray, label: int, share: float) -> np.ndarray:
    """Return the positions of the `share` of a class' images that are farthest (l2) from their mean."""
    rows = np.flatnonzero(labels == label)
    if not len(rows):
        return rows
    pixels = images[rows].reshape(len(rows), -1).astype(np.float64)
    apart = lengths(pixels - pixels.mean(0))
    return np.sort(rows[np.argsort(-apart, kind="stable")[: part_of(share, len(rows))]])
