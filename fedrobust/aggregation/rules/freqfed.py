"""FreqFed: keep the majority cluster of the models' low frequencies."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.blocks import blocks_of, each
from fedrobust.aggregation.clustering import majority_cluster
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, known
from fedrobust.aggregation.kernels import chosen_only
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import LARGEST, PositiveShare
from fedrobust.models.layout import Layout
from fedrobust.vectors import length

TOGETHER = 8
"""Clients that are transformed at a time."""


@RULES.register("freqfed")
@dataclass(frozen=True, kw_only=True)
class FreqFed:
    """Average the majority cluster of models' low frequencies (Fereidooni et al., NDSS 2024, arXiv:2312.04432).

    Algorithm 1: each array of a client's model is a matrix, whose discrete cosine transform (type 2) has the low
    frequencies in one corner: those whose two indices add up to at most half of the longer side. HDBSCAN clusters the
    cosine distances between clients' low frequencies of the whole model; the cluster of more than half of the clients
    is averaged, and everybody if there is none. Arrays of three and more axes are matrices of their last axis and all
    others; a vector has one index.

    Models differ by their updates, and their cosine distances are those differences: they are computed from the
    transforms of updates, without cancellation. The paper has no official code. The rule detects, and gives no bound;
    ``clipping`` or ``arc`` before it bound the norm of the result by that of honest updates.

    Attributes:
        low: share of the longer side up to which frequencies are low.

    Raises:
        InfeasibleError: the global weights or the model's arrays are not known.

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> layout = Layout((Entry("a", (4,), "trainable"),))
        >>> updates = Updates.of(np.array([[1, 1, 1, 1], [1, 1, 1, 1.1], [1, 1, 1, 0.9], [9, -9, 9, 9]], np.float32))
        >>> context = AggregationContext(np.arange(4), np.ones(4, int), current=np.ones(4, np.float32), layout=layout)
        >>> FreqFed()(updates, context).influence.round(3).tolist()
        [0.333, 0.333, 0.333, 0.0]
    """

    SELECTS: ClassVar[bool] = True

    low: PositiveShare = 0.5

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the majority cluster of `updates`."""
        current = known(context.current, self, "the global weights that clients were sent (current)")
        layout = known(context.layout, self, "the model's arrays (layout)")
        products = low_products(updates, current, layout, self.low)
        shares = chosen_only(len(updates), np.flatnonzero(majority_cluster(cosine_distances(products))))
        return Aggregation(updates.combined(shares), shares)


def low_products(updates: Updates, current: np.ndarray, layout: Layout, low: float) -> np.ndarray:
    """Return the inner products of low frequencies of `updates` and, last, of the `current` weights, (n + 1, n + 1)."""
    n = len(updates)
    products = np.zeros((n + 1, n + 1))
    # Vectors of length 1 are transformed: sums of very large ones would not be float32, squares of very small ones 0.
    lengths = np.append(updates.norms, length(current))
    factors = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    for entry, columns in layout.spans:
        places = low_places(matrix_sides(entry.shape), low)
        found = _low_rows(updates, current, factors, columns, places, entry.shape)
        products += np.sum(each(blocks_of(slice(0, found.shape[1]), n + 1), partial(_product, found)), axis=0)
    scaled: np.ndarray = products * lengths[:, None] * lengths[None]
    return scaled


def _product(rows: np.ndarray, block: slice) -> np.ndarray:
    part = rows[:, block].astype(np.float64)
    return part @ part.T


def _low_rows(
    updates: Updates,
    current: np.ndarray,
    factors: np.ndarray,
    columns: slice,
    places: np.ndarray,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Return the low frequencies of one array in `updates` and, last, in the `current` weights, (n + 1, m) float32.

    Each vector is multiplied by its one of `factors` (n + 1,).
    """
    n, sides = len(updates), matrix_sides(shape)
    found = np.empty((n + 1, places.size), np.float32)
    found[n] = low_frequencies(_scaled(current[None, columns], factors[n:]), sides, places)

    def fill(rows: slice) -> None:
        mixed = updates.mixture is not None
        part = updates.block(columns, np.arange(n)[rows]) if mixed else updates.matrix[rows, columns]
        found[rows] = low_frequencies(_scaled(part, factors[:n][rows]), sides, places)

    each([slice(start, min(start + TOGETHER, n)) for start in range(0, n, TOGETHER)], fill)
    return found


def _scaled(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return rows times `factors` as float32; a factor may be beyond its range."""
    if (factors < LARGEST).all():
        return values * factors[:, None].astype(np.float32)
    return np.asarray(values.astype(np.float64) * factors[:, None], np.float32)


def matrix_sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns of an array as a matrix.

    Example:
        >>> matrix_sides((3, 3, 8, 16)), matrix_sides((5,)), matrix_sides(())
        ((72, 16), (1, 5), (1, 1))
    """
    last = shape[-1] if shape else 1
    return int(np.prod(shape[:-1], dtype=np.int64)), last


def low_places(sides: tuple[int, int], low: float) -> np.ndarray:
    """Return the mask of low frequencies in the corner of a matrix that has them all, (rows, columns) bool.

    Example:
        >>> low_places((2, 4), 0.5).astype(int).tolist()
        [[1, 1, 1], [1, 1, 0]]
    """
    most = int(max(sides) * low)
    rows, columns = np.indices((min(sides[0], most + 1), min(sides[1], most + 1)))
    mask: np.ndarray = rows + columns <= most
    return mask


def low_frequencies(values: np.ndarray, sides: tuple[int, int], places: np.ndarray) -> np.ndarray:
    """Return the frequencies in the corner of matrices, 0 where they are not low, (k, places.size), orthonormal.

    Args:
        values: (k, rows * columns).
        sides: rows and columns.
        places: of low frequencies, from `low_places`.
    """
    from scipy.fft import dct

    found = values.reshape(len(values), *sides)
    # The longer side first: what is cut off need not be transformed along the other.
    for axis in sorted((1, 2), key=lambda axis: -found.shape[axis]):
        if found.shape[axis] > 1:
            found = dct(found, axis=axis, norm="ortho")
        most = places.shape[axis - 1]
        found = found[:, :most] if axis == 1 else found[:, :, :most]
    return (found * places).reshape(len(values), -1)


def cosine_distances(products: np.ndarray) -> np.ndarray:
    """Return the cosine distances (n, n) between w + u_i, from the inner products of the u and, last, of w.

    1 - cos = (|a - b|^2 - (|a| - |b|)^2) / (2 |a| |b|), where a - b is the difference of two u. A model of length 0 has
    the distance 1 to all others.

    Example:
        >>> u_and_w = np.array([[1.0, 0], [0, 1], [0, 0]])
        >>> cosine_distances(u_and_w @ u_and_w.T).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    own, along, middle = np.diag(products)[:-1], products[:-1, -1], products[-1, -1]
    apart = np.maximum(own[:, None] + own[None] - 2 * products[:-1, :-1], 0)
    squares = np.maximum(own + 2 * along + middle, 0)
    lengths = np.sqrt(squares)
    total = lengths[:, None] + lengths[None]
    longer = (own + 2 * along)[:, None] - (own + 2 * along)[None]
    differences = np.divide(longer, total, out=np.zeros_like(total), where=total > 0)
    scale = 2 * lengths[:, None] * lengths[None]
    distances = np.divide(apart - differences**2, scale, out=np.ones_like(scale), where=scale > 0)
    np.fill_diagonal(distances, 0)
    return np.clip(distances, 0, 2)
