"""Federated averaging."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.rule import RULES


class RunningMean:
    """The weighted mean of vectors that come one at a time, in float64.

    Sums depend on their order in the last bits: feed clients in the order of their partitions.

    Args:
        size: numbers in a vector.

    Example:
        >>> mean = RunningMean(2)
        >>> mean.add(np.array([1, 2], np.float32), weight=1)
        >>> mean.add(np.array([3, 6], np.float32), weight=3)
        >>> mean.result().tolist()
        [2.5, 5.0]
    """

    def __init__(self, size: int):
        self._sum = np.zeros(size, np.float64)
        self._weight = 0.0

    def add(self, vector: np.ndarray, weight: float) -> None:
        """Take in `vector` (size,) float32 with a positive `weight`."""
        self._sum += np.multiply(vector, weight, dtype=np.float64)
        self._weight += weight

    def result(self) -> np.ndarray:
        """Return the mean (size,) float32.

        Raises:
            ZeroDivisionError: nothing was added.
        """
        if not self._weight:
            raise ZeroDivisionError("the mean of no vectors")
        return (self._sum / self._weight).astype(np.float32)


@RULES.register("mean")
@dataclass(frozen=True)
class Mean:
    """Average clients by the number of their images (McMahan et al., 2016, arXiv:1602.05629, Algorithm 1).

    The average of weights is the global model plus the average of updates; in float64, and taken on the weights
    themselves, it loses no bit: the mean of one client is that client's weights. It tolerates no malicious client:
    one update can move it anywhere.
    """

    def start(self, size: int) -> RunningMean:
        """Return an empty mean of vectors of `size` numbers."""
        return RunningMean(size)
