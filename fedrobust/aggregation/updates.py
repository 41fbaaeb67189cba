"""The updates of a round, with cached distances, columns in blocks, and implicit mixtures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fedrobust.aggregation.blocks import each_block
from fedrobust.aggregation.distances import (
    inner_products,
    mixed_products,
    squared_between_mixtures,
    squared_distances,
)

CANCELLATION_RATIO = 1e6
"""Ratio of the largest norm to the median norm above which mixtures are computed explicitly, to avoid cancellation."""


@dataclass(frozen=True, eq=False)
class Updates:
    """n update vectors of length d: those of clients, or weighted sums (mixtures) of them.

    A pre-aggregator replaces the clients' updates by mixtures, which are represented by their weights: no second matrix
    of updates is needed, and distances between mixtures follow from those between clients.

    Attributes:
        matrix: (clients, d) float32, finite.
        mixture: (n, clients) float64: vector i is ``mixture[i] @ matrix``; None: the vectors are the rows.
        clients: the updates of which these are mixtures, with cached distances.
        written_from: the mixture that `matrix` is, if it was computed explicitly.

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
    written_from: "Updates | None" = None

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
        """Length d of an update."""
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

    def values(self, columns: slice) -> np.ndarray:
        """Return some columns of all updates (n, columns): a view of float32 numbers, or mixtures in float64."""
        return self.matrix[:, columns] if self.mixture is None else self.block(columns)

    def row(self, position: int) -> np.ndarray:
        """Return one update (d,) float32; a view where updates are not mixed."""
        if self.mixture is None:
            return self.matrix[position]
        return self.combined(np.eye(len(self))[position])

    @cached_property
    def _factors(self) -> np.ndarray | None:
        """Factor of each client's update (n,) float64, if no updates are mixed; else None."""
        mixture = self.mixture
        if mixture is None or mixture.shape[0] != mixture.shape[1]:
            return None
        factors = np.diag(mixture)
        return factors.copy() if np.count_nonzero(mixture) == np.count_nonzero(factors) else None

    @cached_property
    def squared(self) -> np.ndarray:
        """Squared Euclidean distances (n + 1, n + 1) float64; the last row and column are those of the zero update."""
        if self.mixture is None:
            return squared_distances(self.matrix, self.inner)
        between = self._sent.squared
        if self._written is not None:
            return self._written.squared
        return squared_between_mixtures(self.matrix, self.mixture, between)

    @cached_property
    def _sent(self) -> "Updates":
        """The updates of which these are mixtures."""
        return self.clients or Updates(self.matrix)

    @cached_property
    def _written(self) -> "Updates | None":
        """The mixture as an explicit matrix, if updates of very different norms are mixed; else None.

        Two attackers' huge updates in opposite directions have a small sum whose digits depend on the order of the
        terms: all results then have to be computed from one explicit sum.
        """
        if self.mixture is None or self._factors is not None:
            return None
        lengths = np.abs(self.mixture) @ self._sent.norms
        if lengths.max() <= CANCELLATION_RATIO * np.median(lengths):
            return None
        return Updates(np.asarray(self), written_from=self)

    def shares_of(self, sent: "Updates") -> np.ndarray | None:
        """Return the weight of each of the `sent` updates in each of these, (n, sent); None if they are unrelated."""
        if self.mixture is None:
            if self.matrix is sent.matrix:
                return np.eye(len(sent))
            return None if self.written_from is None else self.written_from.shares_of(sent)
        shares = self._sent.shares_of(sent)
        return None if shares is None else self.mixture @ shares

    @cached_property
    def distances(self) -> np.ndarray:
        """Euclidean distances between updates (n, n) float64."""
        distances: np.ndarray = np.sqrt(self.squared[:-1, :-1])
        return distances

    @cached_property
    def norms(self) -> np.ndarray:
        """Euclidean norms (n,) float64."""
        if self._factors is not None:
            return np.abs(self._factors) * self._sent.norms
        if self.mixture is not None:
            return np.sqrt(self.squared[:-1, -1])
        if "inner" in self.__dict__:
            return np.sqrt(np.diag(self.inner))

        def squares(block: slice) -> np.ndarray:
            part = self.matrix[:, block].astype(np.float64)
            return np.einsum("ij,ij->i", part, part)

        return np.sqrt(np.sum(each_block(self.size, len(self.matrix), squares), axis=0))

    @cached_property
    def inner(self) -> np.ndarray:
        """Inner products (n, n) float64."""
        if self.mixture is None:
            return inner_products(self.matrix)
        if self._written is not None:
            return self._written.inner
        return self.mixture @ self._sent.inner @ self.mixture.T

    def inner_from(self, origin: int) -> np.ndarray:
        """Return the inner products (n, n) float64 of the updates minus the one at `origin`; costs n² d."""
        if self.mixture is None:
            return inner_products(self.matrix, self.matrix[origin])
        if self._written is not None:
            return self._written.inner_from(origin)
        return mixed_products(self.matrix, self.mixture - self.mixture[origin])

    @cached_property
    def cosines(self) -> np.ndarray:
        """Cosines of the angles between updates (n, n) float64; 0 where one of them is zero."""
        scale = self.norms[:, None] * self.norms[None, :]
        cosines: np.ndarray = np.clip(
            np.divide(self.inner, scale, out=np.zeros_like(scale), where=scale > 0), -1, 1
        )
        return cosines

    def mixed(self, mixture: np.ndarray) -> "Updates":
        """Return the updates ``mixture @ self`` for a `mixture` (m, n), without computing vectors of length d."""
        mixture = np.asarray(mixture, np.float64)
        if self.mixture is None:
            return Updates(self.matrix, mixture, self)
        if self._written is not None:
            return self._written.mixed(mixture)
        return Updates(self.matrix, mixture @ self.mixture, self._sent)

    def rows(self, chosen: np.ndarray) -> "Updates":
        """Return the updates at positions `chosen`."""
        return self.mixed(np.eye(len(self))[chosen])

    def combined(self, shares: np.ndarray) -> np.ndarray:
        """Return the sum of updates times `shares` (n,) as (d,) float32, summed in float64."""
        own = np.asarray(shares, np.float64)
        if self._written is not None:
            return self._written.combined(shares)
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

        # A single pass over rows allows wider blocks than sorting or products.
        each_block(self.size, max(1, len(used) // 4), fill)
        return result

    def by_coordinate(
        self, reduce: Callable[[np.ndarray], np.ndarray], rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return (d,) float32 from a function of all clients' values of some coordinates.

        Args:
            reduce: function from (b, n) float32, one coordinate a row, contiguous, to (b,); it may change its argument.
            rows: positions of the updates; None: all.
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
        if self._written is not None:
            return self._written.inner_with(vector)
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
