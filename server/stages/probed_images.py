"""The validation images of the probe of adversarial training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import Split

PROBED = 128
"""Images in proportion to their classes; and as many evenly by class, where the balanced accuracy selects a round."""


@dataclass(frozen=True, eq=False)
class ProbedImages:
    """Images that are attacked after a round, the same ones in every round.

    Attributes:
        images: those in proportion to their classes, then the others.
        plain: how many they are, of which the accuracy is taken; the balanced accuracy is that of all.
    """

    images: Split
    plain: int

    @classmethod
    def of(cls, split: Split, evenly: bool = False) -> "ProbedImages":
        """Return the first images of each class of `split`, `PROBED` in all.

        Args:
            split: the validation images.
            evenly: add images until each class has as many as it would have in a sample with equally many of each. At
                most twice as many are probed, and rare classes, which weigh as much as others in the balanced accuracy,
                no longer decide it by a handful of images.

        Example:
            >>> labels = np.repeat([0, 1, 2], [900, 80, 20]).astype(np.int32)
            >>> split = Split(np.zeros((1000, 8, 8, 1), np.uint8), labels)
            >>> [np.bincount(ProbedImages.of(split, one).images.labels).tolist() for one in (False, True)]
            [[115, 10, 3], [115, 54, 20]]
        """
        sample = split.sample(PROBED)
        if not evenly:
            return cls(sample, len(sample))
        _, places, counts = np.unique(split.labels, return_inverse=True, return_counts=True)
        # The place of each image among those of its class, from 0.
        rank = np.empty(len(split), np.int64)
        rank[np.argsort(places, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
        taken = np.array([np.sum(sample.labels == label) for label in np.unique(split.labels)])
        proportional = rank < taken[places]
        more = (rank < even(counts, PROBED)[places]) & ~proportional
        chosen = np.concatenate([np.flatnonzero(proportional), np.flatnonzero(more)])
        return cls(split.of_rows(chosen), len(sample))

    def accuracies(self, right: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the accuracy and the balanced accuracy.

        Args:
            right: (n,) whether each image is answered right.
        """
        labels = self.images.labels
        recalls = [right[labels == label].mean() for label in np.unique(labels)]
        return float(right[: self.plain].mean()), float(np.mean(recalls))


def even(counts: NDArray[np.integer], total: int) -> NDArray[np.int64]:
    """Return how many images of each class to take, (classes,): equally many, and all of a class that has fewer.

    Args:
        counts: (classes,) images there are.
        total: images to take.

    Example:
        >>> even(np.array([33, 52, 110, 12, 111, 671, 14]), 128).tolist()
        [20, 20, 20, 12, 21, 21, 14]
    """
    taken, left = np.zeros(len(counts), np.int64), total
    for done, label in enumerate(np.argsort(counts, kind="stable")):
        taken[label] = min(counts[label], left // (len(counts) - done))
        left -= taken[label]
    return taken
