"""Arithmetic of attackers that stays finite in float32."""

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
