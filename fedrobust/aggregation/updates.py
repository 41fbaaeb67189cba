"""The updates of a round, as rules see them: distances known once, columns in blocks, mixtures never written out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fedrobust.aggregation.blocks import each_block

CANCELLED = 1e-7
"""Share of two squared norms under which their squared distance is computed again, from nearer by."""


@dataclass(frozen=True, eq=False)
class Updates:
    """n vectors of d numbers: what clients sent, or mixtures of that.

    A pre-aggregator replaces the clients' updates by weighted sums of them. Such sums are described by their weights:
    a second matrix of updates is never made, and distances between mixtures follow from those between clients.

    Attributes:
        matrix: (clients, d) float32, one client a row, finite.
        mixture: (n, clients) float64: vector i is ``mixture[i] @ matrix``; None where the vectors are the rows.
        clients: the updates that a mixture is made of, whose distances are known already.

    Example:
        >>> updates = Updates.of(np.array([[0, 0], [3, 4], [0, 8]], np.float32))
        >>> len(updates), updates.norms.tolist(), updates.distances[1].tolist()
        (3, [0.0, 5.0, 8.0], [5.0, 0.0, 5.0])
        >>> np.asarray(updates.mixed(np.array([[0.0, 0.5, 0.5]]))).tolist()
        [[1.5, 6.0]]
    """

    matrix: np.ndarray
    mixture: np.ndarray | None = None
    clients: "Updates | None" = None

    @classmethod
    def of(cls, matrix: "np.ndarray | Updates") -> "Updates":
        """Return `matrix` (n, d) as updates; numbers that are not float32 are converted.

        Raises:
            ValueError: it has another number of axes, or no rows.
        """
        if isinstance(matrix, Updates):
            return matrix
        matrix = np.asarray(matrix, np.float32)
        if matrix.ndim != 2 or not len(matrix):
            raise ValueError(f"updates of shape {matrix.shape}: one row a client (n, d) is expected")
        return cls(matrix)

    def __len__(self) -> int:
        return len(self.matrix if self.mixture is None else self.mixture)

    @property
    def size(self) -> int:
        """How many numbers an update has."""
        return int(self.matrix.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.mixture is None:
            return np.array(self.matrix, dtype=dtype, copy=True if copy else None)
        written = np.empty((len(self), self.size), np.float32)

        def fill(block: slice) -> None:
            written[:, block] = self.block(block)

        each_block(self.size, len(self.matrix), fill)
        return written if dtype is None else written.astype(dtype, copy=False)

    def block(self, columns: slice, rows: np.ndarray | None = None) -> np.ndarray:
        """Return some columns of all updates, or of some `rows`, as float64 (n, columns)."""
        if self.mixture is None or self._factors is not None:
            part = self.matrix[:, columns] if rows is None else self.matrix[rows, columns]
            if self._factors is None:
                return part.astype(np.float64)
            return part * (self._factors if rows is None else self._factors[rows])[:, None]
        mixture = self.mixture if rows is None else self.mixture[rows]
        product: np.ndarray = mixture @ self.matrix[:, columns].astype(np.float64)
        return product

    @cached_property
    def _factors(self) -> np.ndarray | None:
        """What each client's update is multiplied by (n,) float64, where nothing is mixed; else None."""
        mixture = self.mixture
        if mixture is None or mixture.shape[0] != mixture.shape[1]:
            return None
        factors = np.diag(mixture)
        return factors.copy() if np.count_nonzero(mixture) == np.count_nonzero(factors) else None

    @cached_property
    def squared(self) -> np.ndarray:
        """Squared Euclidean distances (n + 1, n + 1) float64; the last row and column are those of the zero update."""
        if self.mixture is None:
            return squared_distances(self.matrix)
        # Sums of clients and of zero, with weights that add up to 1: their distances follow from the clients' own.
        whole = np.zeros((len(self.mixture) + 1, len(self.matrix) + 1))
        whole[:-1, :-1] = self.mixture
        whole[:, -1] = 1 - whole[:, :-1].sum(1)
        cross = whole @ (self.clients or Updates(self.matrix)).squared @ whole.T
        own = np.diag(cross)
        return np.maximum(cross - (own[:, None] + own[None, :]) / 2, 0) * (1 - np.eye(len(whole)))

    @cached_property
    def distances(self) -> np.ndarray:
        """Euclidean distances between updates (n, n) float64."""
        distances: np.ndarray = np.sqrt(self.squared[:-1, :-1])
        return distances

    @cached_property
    def norms(self) -> np.ndarray:
        """Euclidean norms (n,) float64."""
        if self._factors is not None and self.clients is not None:
            return np.abs(self._factors) * self.clients.norms
        if "squared" in self.__dict__ or self.mixture is not None:
            return np.sqrt(self.squared[:-1, -1])

        def squares(block: slice) -> np.ndarray:
            part = self.matrix[:, block].astype(np.float64)
            return np.einsum("ij,ij->i", part, part)

        return np.sqrt(np.sum(each_block(self.size, len(self.matrix), squares), axis=0))

    @cached_property
    def inner(self) -> np.ndarray:
        """Inner products (n, n) float64."""
        origin = self.squared[:-1, -1]
        inner: np.ndarray = (origin[:, None] + origin[None, :] - self.squared[:-1, :-1]) / 2
        return inner

    @cached_property
    def cosines(self) -> np.ndarray:
        """Cosines of the angles between updates (n, n) float64; 0 where one of them is zero."""
        scale = self.norms[:, None] * self.norms[None, :]
        cosines: np.ndarray = np.clip(
            np.divide(self.inner, scale, out=np.zeros_like(scale), where=scale > 0), -1, 1
        )
        return cosines

    def mixed(self, mixture: np.ndarray) -> "Updates":
        """Return the updates ``mixture @ self``, `mixture` being (m, n); nothing of size d is computed."""
        mixture = np.asarray(mixture, np.float64)
        if self.mixture is None:
            return Updates(self.matrix, mixture, self)
        return Updates(self.matrix, mixture @ self.mixture, self.clients)

    def rows(self, chosen: np.ndarray) -> "Updates":
        """Return the updates at `chosen` places."""
        return self.mixed(np.eye(len(self))[chosen])

    def combined(self, shares: np.ndarray) -> np.ndarray:
        """Return the sum of updates times `shares` (n,) as (d,) float32, summed in float64."""
        own = np.asarray(shares, np.float64)
        if self.mixture is not None:
            own = own @ self.mixture
        used = np.flatnonzero(own)
        result = np.zeros(self.size, np.float32)
        if not len(used):
            return result
        weights, every = own[used], len(used) == len(own)

        def fill(block: slice) -> None:
            part = self.matrix[:, block] if every else self.matrix[used, block]
            result[block] = weights @ part.astype(np.float64)

        # One pass over long rows: wider blocks than those that are sorted or multiplied.
        each_block(self.size, max(1, len(used) // 4), fill)
        return result

    def by_coordinate(
        self, reduce: Callable[[np.ndarray], np.ndarray], rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return (d,) float32 from a function of all clients' values of some coordinates.

        Args:
            reduce: (b, n) float32 to (b,), a coordinate a row, contiguous; it may change what it is given.
            rows: places of the updates that take part; all if None.
        """
        result = np.empty(self.size, np.float32)

        def fill(block: slice) -> None:
            if self.mixture is None:
                part = self.matrix[:, block] if rows is None else self.matrix[rows, block]
            else:
                part = self.block(block, rows)
            result[block] = reduce(np.array(part.T, np.float32, order="C"))

        each_block(self.size, len(self.matrix), fill)
        return result

    def inner_with(self, vector: np.ndarray) -> np.ndarray:
        """Return the inner products (n,) float64 with `vector` (d,)."""
        parts = each_block(
            self.size, len(self.matrix), lambda block: self._clients_block(block) @ vector[block]
        )
        own: np.ndarray = np.sum(np.array(parts), axis=0)
        return own if self.mixture is None else self.mixture @ own

    def distances_to(self, vector: np.ndarray) -> np.ndarray:
        """Return the Euclidean distances (n,) float64 to `vector` (d,)."""

        def squares(block: slice) -> np.ndarray:
            apart = self.block(block) - vector[block]
            return np.einsum("ij,ij->i", apart, apart)

        parts = each_block(self.size, len(self.matrix), squares)
        distances: np.ndarray = np.sqrt(np.sum(np.array(parts), axis=0))
        return distances

    def _clients_block(self, block: slice) -> np.ndarray:
        return self.matrix[:, block].astype(np.float64)


def squared_distances(matrix: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances between the rows of `matrix` (n, d) and to zero, (n + 1, n + 1) float64.

    They come from one matrix of inner products, summed in float64. Where two rows are so near to each other that
    |a|² + |b|² - 2 ab has lost its digits, they are computed again with one of the rows as origin.

    Example:
        >>> squared_distances(np.array([[3, 4], [3, 4.5]], np.float32)).tolist()
        [[0.0, 0.25, 25.0], [0.25, 0.0, 29.25], [25.0, 29.25, 0.0]]
    """
    n = len(matrix)
    inner = inner_products(matrix)
    norms = np.append(np.diag(inner), 0.0)
    squared = np.zeros((n + 1, n + 1))
    squared[:-1, :-1] = inner
    squared = np.maximum(norms[:, None] + norms[None, :] - 2 * squared, 0)
    np.fill_diagonal(squared, 0)
    scale = norms[:, None] + norms[None, :]
    lost = (squared < CANCELLED * scale) & ~np.eye(n + 1, dtype=bool)
    while lost[:-1, :-1].any():
        anchor = int(np.argmax(lost[:-1, :-1].sum(1)))
        near = np.append(np.flatnonzero(lost[anchor, :-1]), anchor)
        shifted = inner_products(matrix[near], origin=matrix[anchor])
        own = np.diag(shifted)
        squared[np.ix_(near, near)] = np.maximum(own[:, None] + own[None, :] - 2 * shifted, 0)
        lost[np.ix_(near, near)] = False
    np.fill_diagonal(squared, 0)
    return squared


def inner_products(matrix: np.ndarray, origin: np.ndarray | None = None) -> np.ndarray:
    """Return the inner products of the rows of `matrix` (n, d), less `origin` (d,), as (n, n) float64."""

    def product(block: slice) -> np.ndarray:
        part = matrix[:, block].astype(np.float64)
        if origin is not None:
            part -= origin[block]
        return part @ part.T

    parts = each_block(matrix.shape[1], len(matrix), product)
    total = np.zeros((len(matrix), len(matrix)))
    for part in parts:
        total += part
    return total
