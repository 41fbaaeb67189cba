"""Lengths and inner products of long vectors, with the same bits for any number of threads.

BLAS divides long sums among its threads, of which a Ray worker has fewer: the last bits of ``np.linalg.norm`` and of
``a @ b`` would depend on the engine. Products of matrices are computed in blocks, see
`fedrobust.aggregation.distances`.
"""

import numpy as np


def length(vector: np.ndarray) -> float:
    """Return the Euclidean norm of `vector` (d,), summed in float64.

    Example:
        >>> length(np.array([3.0, -4.0], np.float32))
        5.0
    """
    return float(np.sqrt(np.sum(np.square(vector, dtype=np.float64))))


def lengths(rows: np.ndarray) -> np.ndarray:
    """Return the Euclidean norms of the `rows` (n, d), (n,) float64.

    Example:
        >>> lengths(np.array([[3, -4], [0, 2]])).tolist()
        [5.0, 2.0]
    """
    return np.asarray(np.sqrt(np.sum(np.square(rows, dtype=np.float64), axis=1)))


def inner(one: np.ndarray, other: np.ndarray) -> float:
    """Return the inner product of two vectors (d,), summed in float64.

    Example:
        >>> inner(np.array([1.0, 2], np.float32), np.array([3, 4]))
        11.0
    """
    return float(np.sum(np.multiply(one, other, dtype=np.float64)))
