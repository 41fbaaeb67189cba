"""A data set: checked training, validation and test split with their metadata."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.conversion import NOT_KNOWN, Conversion
from fedrobust.data.problem import ORDINAL, Problem, is_multilabel
from fedrobust.data.sites import Sites
from fedrobust.errors import FedrobustError


class DataError(FedrobustError, ValueError):
    """Data, a file or a setting of `[data]` cannot be used; the message says why and what to do."""


class NotHereError(DataError):
    """A published set is not on this machine and could not be downloaded."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels.

    Args:
        images: uint8 (n, height, width, channels), channels 1 (grey) or 3 (colour), native grey levels 0 to
            255.
        labels: int32 (n,), not negative: classes, or label sets (see `fedrobust.data.label_sets`).

    Raises:
        DataError: an array has another shape or dtype, there is no image, or a label is negative.

    Example:
        >>> import numpy as np
        >>> len(Split(np.zeros((4, 28, 28, 1), np.uint8), np.zeros(4, np.int32)))
        4
        >>> Split(np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.int32))
        Traceback (most recent call last):
        fedrobust.data.dataset.DataError: images has shape (4, 28, 28); allowed: (n, height, width, \
channels) with 1 or 3 channels
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:3]:
            raise DataError(
                f"images has shape {images.shape}; allowed: (n, height, width, channels) with 1 or 3 channels"
            )
        if images.dtype != np.uint8:
            raise DataError(f"images has dtype {images.dtype}; allowed: uint8, grey levels 0 to 255")
        if labels.ndim != 1:
            raise DataError(f"labels has shape {labels.shape}; allowed: (n,), one class an image")
        if labels.dtype != np.int32:
            raise DataError(f"labels has dtype {labels.dtype}; allowed: int32")
        if len(images) == 0:
            raise DataError("images has 0 images; allowed: at least 1")
        if len(images) != len(labels):
            raise DataError(f"labels has {len(labels)} entries; allowed: {len(images)}, one an image")
        if labels.min() < 0:
            raise DataError(f"labels has the value {labels.min()}; allowed: 0 and above")

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, count: int, draw: np.random.Generator | None = None) -> "Split":
        """Return a stratified sample of `count` images in their order; 0 for all.

        The sample has the first images of each label, or random ones. Their numbers are rounded by the largest
        remainder; ties go to the lower label.

        Args:
            count: number of images; all if there are no more.
            draw: random generator; None: the first images of each label.

        Example:
            >>> import numpy as np
            >>> images = np.zeros((6, 8, 8, 1), np.uint8)
            >>> Split(images, np.array([0, 0, 0, 0, 1, 1], np.int32)).sample(3).labels.tolist()
            [0, 0, 1]
        """
        n = len(self)
        if not 0 < count < n:
            return self
        _, places, counts = np.unique(self.labels, return_inverse=True, return_counts=True)
        wanted, left = np.divmod(counts * count, n)
        more = np.lexsort((np.arange(len(counts)), -left))[: count - wanted.sum()]
        wanted[more] += 1
        of_label = [np.flatnonzero(places == place) for place in range(len(wanted))]
        if draw is not None:
            of_label = [draw.permutation(rows) for rows in of_label]
        rows = [members[:some] for members, some in zip(of_label, wanted, strict=True)]
        chosen = np.sort(np.concatenate(rows))
        return Split(self.images[chosen], self.labels[chosen])

    def of_rows(self, chosen: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> "Split":
        """Return some of the images.

        Args:
            chosen: whether each image is one of them, (n,), or their positions.
        """
        return Split(self.images[chosen], self.labels[chosen])

    @classmethod
    def joined(cls, splits: Sequence["Split"]) -> "Split":
        """Return the images of several splits, one after the other."""
        return cls(
            np.concatenate([split.images for split in splits]),
            np.concatenate([split.labels for split in splits]),
        )

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Return the number of images of each class, int64 (classes,)."""
        return np.bincount(self.labels, minlength=classes).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The three splits of a data set, and its metadata.

    Args:
        name: of the set.
        train: training images, which are partitioned over clients.
        validation: images for model selection and other decisions.
        test: images for reported metrics.
        label_names: one name a class or finding, in the order of the labels.
        task: such as ``"binary-class"``, in MedMNIST's words; one that begins with ``"multi-label"`` makes labels sets
            of findings.
        disease: labels that mean disease, for sensitivity and specificity; empty if unknown.
        source: file, address or description of the images' origin.
        licence: the images' licence; empty if unknown.
        digest: SHA-256 of the contents as hex, see `digest`; it does not depend on the file.
        sites: of the training images; None if unknown.
        validation_sites: of the validation images; None if unknown.
        test_sites: of the test images; None if unknown.
        unseen: all images of sites that are held out of the three splits, by the site's name.
        whole: the data set of whose training images these are a share; None: these are all.
        remarks: what is not known of it, a sentence each.
        conversion: how images became its images, as far as it is known.

    Raises:
        DataError: fewer than two classes, a label without a name, a class or finding that train lacks, or splits
            whose images differ in shape.

    Example:
        >>> from fedrobust.data.phantom import phantom
        >>> data = phantom(train=20)
        >>> data.train.images.shape, data.label_names
        ((20, 28, 28, 1), ('benign', 'malignant'))
    """

    name: str
    train: Split
    validation: Split
    test: Split
    label_names: tuple[str, ...]
    task: str
    disease: tuple[int, ...]
    source: str
    licence: str
    digest: str
    sites: Sites | None = None
    validation_sites: Sites | None = None
    test_sites: Sites | None = None
    unseen: Mapping[str, Split] = field(default_factory=dict)
    whole: "Dataset | None" = None
    remarks: tuple[str, ...] = ()
    conversion: Conversion = NOT_KNOWN

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise DataError(f"label_names has {self.classes} names; allowed: at least 2 classes")
        for name, split in self.splits.items():
            if split.images.shape[1:] != self.image_shape:
                raise DataError(
                    f"{name} images have shape {split.images.shape[1:]}; allowed: {self.image_shape}, as in "
                    "train"
                )
            if split.labels.max() >= self.problem.labels:
                raise DataError(
                    f"{name} labels has the value {split.labels.max()}; allowed: 0 to {self.problem.labels - 1}"
                )
        missing = np.flatnonzero(self.counts(self.train) == 0).tolist()
        if missing and self.multilabel:
            raise DataError(
                f"train labels has no image with finding {listed(missing)}; allowed: every finding from 0 to "
                f"{self.classes - 1} in at least one image"
            )
        if missing:
            raise DataError(
                f"train labels has no image of class {listed(missing)}; allowed: every class from 0 to "
                f"{self.classes - 1} at least once"
            )
        strangers = [label for label in self.disease if not 0 <= label < self.classes]
        if strangers:
            raise DataError(f"disease has the label {strangers[0]}; allowed: 0 to {self.classes - 1}")

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def undivided(self) -> "Dataset":
        """The data set before a share of its training images was drawn: studies of several shares have one cache."""
        return self.whole or self

    @property
    def classes(self) -> int:
        """The number of classes, or of findings."""
        return len(self.label_names)

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several findings, or none."""
        return is_multilabel(self.task)

    @property
    def ordinal(self) -> bool:
        """Whether the classes are grades: the order of their labels has a meaning."""
        return self.task.startswith(ORDINAL)

    @property
    def problem(self) -> Problem:
        """Its image shape and its classes or findings."""
        return Problem(self.image_shape, self.classes, self.multilabel)

    def counts(self, split: Split) -> NDArray[np.int64]:
        """Return the number of images of each class or finding in a split, int64 (classes,)."""
        return self.problem.counts(split.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels


def digest(*splits: Split) -> str:
    """Return the SHA-256 of splits as hex: every array's dtype, shape and bytes, in order.

    Example:
        >>> import numpy as np
        >>> split = Split(np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, np.int32))
        >>> digest(split) == digest(split), digest(split) == digest(split, split)
        (True, False)
    """
    sha = hashlib.sha256()
    for split in splits:
        for array in (split.images, split.labels):
            feed(sha, array)
    return sha.hexdigest()


def feed(sha: Any, array: NDArray[Any]) -> None:
    """Feed an array to a hash: its dtype and shape, then its bytes, little-endian on every machine."""
    portable = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    sha.update(f"{portable.dtype.str}{portable.shape}".encode())
    sha.update(portable.data)


def listed(values: list[int]) -> str:
    """Return numbers as text, of many the first five.

    Example:
        >>> listed([1, 2]), listed(list(range(9)))
        ('1, 2', '0, 1, 2, 3, 4 and 4 more')
    """
    shown = ", ".join(str(value) for value in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"
