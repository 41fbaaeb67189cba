"""Coordinate-wise median."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.kernels import middle
from fedrobust.aggregation.updates import Updates


def coordinate_median(matrix: "np.ndarray | Updates", rows: np.ndarray | None = None) -> np.ndarray:
    """Return the median of every column of `matrix` (n, d) float32, or of some of its rows, as (d,) float32.

    Example:
        >>> coordinate_median(np.array([[1, 9], [2, -9], [9, 0]], np.float32)).tolist()
        [2.0, 0.0]
    """

    def reduce(values: np.ndarray) -> np.ndarray:
        values.sort(axis=1)
        return middle(values)

    return Updates.of(matrix).by_coordinate(reduce, rows)


@RULES.register("median")
@dataclass(frozen=True)
class CoordinateMedian:
    """Take the median of every coordinate (Yin et al., 2018, arXiv:1803.01498, Definition 1).

    Tolerates f < n / 2 malicious clients; claimed numbers of images are not used, because attackers choose theirs.
    """

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the median of `updates`."""
        return Aggregation(coordinate_median(updates))
