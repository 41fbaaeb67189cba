"""Mean and spread of honest updates, coordinate by coordinate."""

import numpy as np

from fedrobust.aggregation.blocks import each_block
from fedrobust.aggregation.updates import Updates


def mean_and_deviation(honest: Updates) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and (biased) standard deviation of every coordinate of `honest` (n, d), each (d,) float32."""
    mean = np.empty(honest.size, np.float32)
    deviation = np.empty(honest.size, np.float32)

    def fill(block: slice) -> None:
        part = honest.block(block)
        mean[block] = part.mean(0)
        deviation[block] = part.std(0)

    each_block(honest.size, len(honest), fill)
    return mean, deviation
