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


def divided(update: np.ndarray, divisor: float) -> np.ndarray:
    """Return ``update / divisor`` as float32, finite where `update` is; `update` to the bit where the divisor is 1.

    Example:
        >>> divided(np.array([1.5, np.inf], np.float32), 0.5).tolist()
        [3.0, inf]
    """
    if divisor == 1:
        return update
    return np.where(np.isfinite(update), scaled(update, 1 / divisor), update)
