"""Public images that a student learns from: those of a data set, or a file of images without labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedrobust.data.archive import declared
from fedrobust.data.dataset import DataError, Dataset
from fedrobust.data.npz import is_archive, read_arrays, read_images

KEYS = ("train_images", "images")
"""Under one of these a file without labels holds its images."""


@dataclass(frozen=True, eq=False)
class TransferSet:
    """Images on which a teacher is asked.

    Attributes:
        name: of the set.
        images: uint8 (n, height, width, channels).
        labels: (n,) int32; None where there are none.
        label_names: of the labels' classes.
        multilabel: whether the labels are label sets.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    multilabel: bool = False

    def has_labels_of(self, label_names: Sequence[str], multilabel: bool) -> bool:
        """Return whether its labels are of the same classes or findings, and one or several an image alike."""
        return (
            self.labels is not None
            and tuple(self.label_names) == tuple(label_names)
            and self.multilabel == multilabel
        )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channels)."""
        return self.images.shape[1:]

    @classmethod
    def of(cls, dataset: Dataset) -> "TransferSet":
        """Return the training images of a data set."""
        train = dataset.train
        return cls(dataset.name, train.images, train.labels, dataset.label_names, dataset.multilabel)


def transfer_set(path: Path | None, dataset: Callable[[], Dataset]) -> TransferSet:
    """Return the images of an ``.npz`` file without labels, or the training images of a data set.

    Args:
        path: the file, if there is one; a file with ``train_labels`` is a data set.
        dataset: reads the data set.

    Raises:
        DataError: neither can be read, or is invalid.
    """
    if path is None or not is_archive(path) or declared(path, ["train_labels"]):
        return TransferSet.of(dataset())
    there = [key for key in KEYS if declared(path, [key])]
    if not there:
        raise DataError(
            f"{path}: neither train_labels nor images: a public set without labels holds {' or '.join(KEYS)}, uint8 "
            "(n, height, width) or (n, height, width, 1 or 3)"
        )
    key = there[0]
    return TransferSet(path.stem, read_images(path, key, read_arrays(path, [key])[key]))
