"""The classification problem that a data set poses: its images, and its classes or findings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.label_sets import unpacked

if TYPE_CHECKING:
    from fedrobust.data.dataset import Dataset

MULTILABEL, ORDINAL = "multi-label", "ordinal-regression"
"""How MedMNIST's names of the tasks begin."""


def is_multilabel(task: str) -> bool:
    """Return whether a task is multi-label.

    Example:
        >>> is_multilabel("multi-label, binary-class"), is_multilabel("multi-class")
        (True, False)
    """
    return task.startswith(MULTILABEL)


def task_of(classes: int, findings: int) -> str:
    """Return the name of the task of data that do not tell it, in MedMNIST's words."""
    if findings:
        return "multi-label, binary-class"
    return "binary-class" if classes == 2 else "multi-class"


@dataclass(frozen=True)
class Problem:
    """The classification problem of a study: image shape and classes, which a server sends to clients.

    Attributes:
        image_shape: (height, width, channels) of every stored image.
        classes: number of classes, or of findings.
        multilabel: whether an image may have several findings, or none; otherwise it has one class.
    """

    image_shape: tuple[int, int, int]
    classes: int
    multilabel: bool = False

    @classmethod
    def of(cls, dataset: "Dataset") -> "Problem":
        """Return the problem of `dataset`."""
        return dataset.problem

    @property
    def labels(self) -> int:
        """Number of different labels: classes, or sets of findings."""
        return 2**self.classes if self.multilabel else self.classes

    @property
    def words(self) -> str:
        """Image shape and number of classes or findings, as text.

        Example:
            >>> Problem((28, 28, 1), 2).words, Problem((64, 64, 3), 14, multilabel=True).words
            ('28 x 28 x 1, 2 classes', '64 x 64 x 3, 14 findings')
        """
        height, width, channels = self.image_shape
        return (
            f"{height} x {width} x {channels}, {self.classes} {'findings' if self.multilabel else 'classes'}"
        )

    def counts(self, labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return the number of images of each class or finding, int64 (classes,).

        Args:
            labels: (n,) of the images.

        Example:
            >>> labels = np.array([0, 3, 1], np.int32)
            >>> Problem((28, 28, 1), 2, multilabel=True).counts(labels).tolist()
            [2, 1]
            >>> Problem((28, 28, 1), 4).counts(labels).tolist()
            [1, 1, 0, 1]
        """
        if self.multilabel:
            return unpacked(labels, self.classes).sum(axis=0).astype(np.int64)
        return np.bincount(labels, minlength=self.classes).astype(np.int64)
