"""Squared distances without cancellation, for vectors of any norm."""

from collections.abc import Callable

import numpy as np

from fedrobust.aggregation.blocks import each_block

CANCELLED = 1e-7
"""Relative size of a difference below which cancellation has lost too many digits."""


def inner_products(
    matrix: np.ndarray, origin: np.ndarray | None = None, rows: np.ndarray | None = None
) -> np.ndarray:
    """Return the inner products of the `rows` of `matrix` (n, d), less `origin` (d,), as (m, m) float64."""
    n = len(matrix) if rows is None else len(rows)

    def product(block: slice) -> np.ndarray:
        part = (matrix[:, block] if rows is None else matrix[rows, block]).astype(np.float64)
        if origin is not None:
            part -= origin[block]
        return part @ part.T

    return _summed(each_block(matrix.shape[1], n, product), n)


def mixed_products(matrix: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Return the inner products of the vectors ``mixture @ matrix``, (m, m) float64; `mixture` is (m, n)."""
    used = np.flatnonzero(mixture.any(0))
    weights = mixture[:, used]

    def product(block: slice) -> np.ndarray:
        part = weights @ matrix[used, block].astype(np.float64)
        return part @ part.T

    return _summed(each_block(matrix.shape[1], len(matrix), product), len(mixture))


def _summed(parts: list[np.ndarray], n: int) -> np.ndarray:
    total = np.zeros((n, n))
    for part in parts:
        total += part
    return total


def refined(
    squared: np.ndarray, scale: np.ndarray, products: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    """Return `squared` distances, with those that suffer from cancellation computed again.

    Where vectors are much nearer to each other than to the origin, one of them becomes the new origin; for vectors that
    are nearer still, this is repeated.

    Args:
        squared: (n, n), each the difference of larger values; changed in place.
        scale: (n, n), the size of those values.
        products: ``products(near, origin)``: the inner products (m, m) of the vectors at positions `near` minus the
            vector at `origin`.
    """
    lost = squared < CANCELLED * scale
    np.fill_diagonal(lost, False)
    while lost.any():
        origin = int(np.argmax(lost.sum(1)))
        near = np.append(np.flatnonzero(lost[origin]), origin)
        shifted = products(near, origin)
        own = np.diag(shifted)
        reach = own[:, None] + own[None, :]
        again = np.maximum(reach - 2 * shifted, 0)
        pairs = np.ix_(near, near)
        squared[pairs] = np.where(lost[pairs], again, squared[pairs])
        # The origin's own distances are exact now, so that every turn settles at least one pair.
        lost[pairs] &= again < CANCELLED * reach
    return squared


def squared_distances(matrix: np.ndarray, inner: np.ndarray | None = None) -> np.ndarray:
    """Return squared Euclidean distances between the rows of `matrix` (n, d) and to zero, (n + 1, n + 1) float64.

    They are computed from one matrix of inner products, summed in float64. For rows so near to each other that
    |a|² + |b|² - 2 ab suffers from cancellation, they are computed again with one of the rows as origin.

    Args:
        matrix: (n, d).
        inner: the inner products of its rows, if they are known.

    Example:
        >>> squared_distances(np.array([[3, 4], [3, 4.5]], np.float32)).tolist()
        [[0.0, 0.25, 25.0], [0.25, 0.0, 29.25], [25.0, 29.25, 0.0]]
    """
    n = len(matrix)
    inner = inner_products(matrix) if inner is None else inner
    norms = np.diag(inner)
    scale = norms[:, None] + norms[None, :]
    between = np.maximum(scale - 2 * inner, 0)
    np.fill_diagonal(between, 0)
    squared = np.zeros((n + 1, n + 1))
    squared[:-1, :-1] = refined(
        between, scale, lambda near, origin: inner_products(matrix, matrix[origin], near)
    )
    squared[:-1, -1] = squared[-1, :-1] = norms
    return squared


def squared_between_mixtures(matrix: np.ndarray, mixture: np.ndarray, clients: np.ndarray) -> np.ndarray:
    """Return squared distances between weighted sums of rows, and to zero, (m + 1, m + 1) float64.

    The distances of affine combinations of rows and zero follow from those of the rows, at a cost that does not depend
    on d. If a row with a much larger norm than the others has any weight, this loses digits: such distances are
    computed from the sums themselves.

    Args:
        matrix: (n, d).
        mixture: (m, n) weights.
        clients: (n + 1, n + 1) squared distances between the rows of `matrix`, and to zero.
    """
    whole = np.zeros((len(mixture) + 1, len(matrix) + 1))
    whole[:-1, :-1] = mixture
    whole[:, -1] = 1 - whole[:, :-1].sum(1)
    cross = whole @ clients @ whole.T
    own = np.diag(cross)
    squared = np.maximum(cross - (own[:, None] + own[None, :]) / 2, 0)
    size = np.abs(whole) @ clients @ np.abs(whole).T
    scale = size + (np.diag(size)[:, None] + np.diag(size)[None, :]) / 2
    _, kinds = np.unique(whole[:, :-1], axis=0, return_inverse=True)
    same = kinds.reshape(-1, 1) == kinds.reshape(1, -1)
    squared[same], scale[same] = 0, 0
    squared = (squared + squared.T) / 2  # rounding makes a product of three matrices slightly asymmetric
    rows = whole[:, :-1]
    return refined(squared, scale, lambda near, origin: mixed_products(matrix, rows[near] - rows[origin]))
