"""Median smoothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fedrobust.defences.contract import DEFENCES
from fedrobust.defences.edges import extended
from fedrobust.defences.median_network import median_of
from fedrobust.lazy import keras


@DEFENCES.register("median")
@dataclass(frozen=True, kw_only=True)
class Median:
    """Replace every pixel by the median of its neighbourhood (Xu et al., 2018, arXiv:1704.01155, section II-C).

    The neighbourhood has a centre; the 2 x 2 one of the paper's code has none, and is left out. The edge is repeated
    outwards. Attacks use the gradient of the median itself: that of the pixel that is the median,
    of several the one nearest to the centre. Minima and maxima of pairs find it, in an eighth of the time of sorting.

    Attributes:
        size: side of the neighbourhood in pixels, 3 or 5.

    Example:
        >>> import numpy as np
        >>> spot = np.zeros((1, 5, 5, 1), np.float32)
        >>> spot[0, 2, 2] = 1
        >>> float(np.asarray(Median(size=3)(spot)).max())
        0.0
    """

    size: Literal[3, 5] = 3

    def __call__(self, images: Any) -> Any:
        """Return the smoothed images."""
        height, width = images.shape[1:3]
        reach = self.size // 2
        wide = extended(images, reach, reach, before=True)
        places = [(row, column) for row in range(self.size) for column in range(self.size)]
        places.sort(key=lambda place: (place[0] - reach) ** 2 + (place[1] - reach) ** 2)
        shifted = [wide[:, row : row + height, column : column + width] for row, column in places]
        if isinstance(images, keras.KerasTensor):
            # The model that is saved and exported: minima and maxima have an int8 form.
            return median_of(shifted)
        return _picked(shifted, median_of(shifted))


def _picked(shifted: Sequence[Any], median: Any) -> Any:
    """Return the median as the first of the pixels that have its value.

    The same numbers; the gradient of minima and maxima themselves takes four times as long.
    """
    ops = keras.ops
    left, found = ops.ones_like(median), ops.zeros_like(median)
    for one in shifted:
        here = left * ops.cast(ops.equal(one, median), median.dtype)
        left, found = left - here, found + here * one
    return found
