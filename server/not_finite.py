"""Numbers that are not finite, and the layer of the first."""

import numpy as np

from fedrobust.models.layout import Layout


def all_finite(vector: np.ndarray) -> bool:
    """Return whether all values of `vector` are finite, without a temporary array.

    Example:
        >>> all_finite(np.ones(3, np.float32)), all_finite(np.array([1, np.nan, np.inf], np.float32))
        (True, False)
    """
    blocks = (vector[start : start + BLOCK] for start in range(0, vector.size, BLOCK))
    return all(np.isfinite(block).all() for block in blocks)


BLOCK = 65536


def not_finite(name: str, vector: np.ndarray, of: Layout | None) -> str:
    """Return that numbers of a vector are not finite, with the layer of the first."""
    bad = np.flatnonzero(~np.isfinite(vector))
    where = of.first_of("trainable" if name == "trainable" else "statistic", bad) if of else ""
    return f"{name} has {len(bad)} numbers that are not finite{where}"
