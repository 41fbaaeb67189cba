"""The confusion matrix of a classifier."""

import numpy as np
from numpy.typing import NDArray

from fedrobust.evaluation.intervals import Integers


def confusion_matrix(labels: Integers, answers: Integers, classes: int) -> NDArray[np.int64]:
    """Return the number of images by true class (row) and predicted class (column), (C, C).

    Args:
        labels: (n,) true classes, in 0 .. C - 1.
        answers: (n,) predicted classes, likewise.
        classes: C.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2).tolist()
        [[1, 1], [0, 2]]
    """
    pairs = np.bincount(labels * classes + answers, minlength=classes**2)
    return pairs.reshape(classes, classes).astype(np.int64)
