"""Arithmetic of attackers: finite in float32, and the same bits with any number of threads."""

import numpy as np

LARGEST = float(np.finfo(np.float32).max)


def scaled(update: np.ndarray, factor: float) -> np.ndarray:
    """Return ``factor * update`` as float32, as large as float32 can be where it would be infinite.

    A server refuses what is not finite: an attacker who overshoots sends the largest number instead.

    Example:
        >>> scaled(np.array([1.5, -2.0], np.float32), 1e38 * 10).tolist() == [LARGEST, -LARGEST]
        True
    """
    product: np.ndarray = np.clip(update.astype(np.float64) * factor, -LARGEST, LARGEST).astype(np.float32)
    return product


def length(vector: np.ndarray) -> float:
    """Return the length of a vector (d,), summed in float64.

    Libraries of linear algebra divide long sums among their threads, of which a Ray worker has fewer: the last bits
    would depend on the engine.

    Example:
        >>> length(np.array([3.0, -4.0], np.float32))
        5.0
    """
    return float(np.sqrt(np.sum(np.square(vector, dtype=np.float64))))
