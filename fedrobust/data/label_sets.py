"""Label sets of multi-label images as whole numbers: bit k of the number is finding k.

One number an image, as for classes that exclude each other, so that a split, a shard and a batch of either kind have
one shape.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_FINDINGS = 31
"""Findings that an int32, which is not negative, can hold."""


def packed(findings: NDArray[Any]) -> NDArray[np.int32]:
    """Return the label sets (n,) of `findings`, (n, findings) of 0 and 1.

    Example:
        >>> packed(np.array([[0, 0, 0], [1, 0, 1]])).tolist()
        [0, 5]
    """
    bits = np.left_shift(np.int32(1), np.arange(findings.shape[1], dtype=np.int32))
    sets: NDArray[np.int32] = (findings.astype(np.int32) * bits).sum(axis=1, dtype=np.int32)
    return sets


def unpacked(sets: NDArray[Any], findings: int) -> NDArray[np.bool_]:
    """Return which findings each image has, (n, findings).

    Example:
        >>> unpacked(np.array([0, 5]), 3).astype(int).tolist()
        [[0, 0, 0], [1, 0, 1]]
    """
    bits = np.right_shift(np.asarray(sets)[:, None], np.arange(findings)) & 1
    return bits.astype(bool)
