"""The contracts of aggregation rules, and their registry.

A rule either takes one client at a time (`StreamingRule`), or needs all of them side by side (`MatrixRule`).
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from fedrobust.registry import Registry

RULES = Registry("aggregation rule")


class RunningAggregate(Protocol):
    """An aggregate that takes one client at a time, so that memory does not grow with their number."""

    def add(self, vector: np.ndarray, weight: int) -> None:
        """Take in one client's float32 `vector` (d,) with its claimed `weight`, in any order of the clients."""
        ...

    def result(self) -> np.ndarray:
        """Return the aggregate (d,) float32."""
        ...


@runtime_checkable
class StreamingRule(Protocol):
    """A rule on clients' weights that takes them as they arrive. A frozen dataclass of settings."""

    def start(self, size: int) -> RunningAggregate:
        """Return an empty aggregate of vectors of `size` numbers."""
        ...


@dataclass(frozen=True, eq=False)
class Aggregation:
    """What a rule makes of the clients' updates.

    Attributes:
        update: (d,) float32, to be added to the global weights.
        accepted: (n,) bool, the clients whose updates went into it.
    """

    update: np.ndarray
    accepted: np.ndarray


@runtime_checkable
class MatrixRule(Protocol):
    """A rule on the updates of all clients at once. A frozen dataclass of settings."""

    def __call__(self, updates: np.ndarray, weights: np.ndarray) -> Aggregation:
        """Return one update from `updates` (n, d) float32 and the clients' claimed sizes (n,)."""
        ...


Rule: TypeAlias = StreamingRule | MatrixRule
