"""The contract of aggregation rules, and their registry."""

from typing import Protocol

import numpy as np

from fedrobust.registry import Registry

RULES = Registry("aggregation rule")


class RunningAggregate(Protocol):
    """An aggregate that takes one client at a time, so that memory does not grow with their number."""

    def add(self, vector: np.ndarray, weight: float) -> None:
        """Take in one client's float32 `vector` (d,) with its claimed `weight`."""
        ...

    def result(self) -> np.ndarray:
        """Return the aggregate (d,) float32."""
        ...


class Rule(Protocol):
    """An aggregation rule: a frozen dataclass of settings."""

    def start(self, size: int) -> RunningAggregate:
        """Return an empty aggregate of vectors of `size` numbers."""
        ...
