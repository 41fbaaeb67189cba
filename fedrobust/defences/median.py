"""Median smoothing."""

from dataclasses import dataclass
from typing import Any, Literal

from fedrobust.defences.contract import DEFENCES
from fedrobust.defences.edges import extended
from fedrobust.lazy import keras


@DEFENCES.register("median")
@dataclass(frozen=True, kw_only=True)
class Median:
    """Replace every pixel by the median of its neighbourhood (Xu et al., 2018, arXiv:1704.01155, section II-C).

    The edge is repeated outwards. Attacks use the gradient of the median itself: that of the pixel that is the median.

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
        shifted = [
            wide[:, row : row + height, column : column + width]
            for row in range(self.size)
            for column in range(self.size)
        ]
        ranked = keras.ops.sort(keras.ops.stack(shifted, axis=-1), axis=-1)
        return ranked[..., len(shifted) // 2]
