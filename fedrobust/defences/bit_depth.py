"""Bit-depth reduction."""

from dataclasses import dataclass
from typing import Any

from fedrobust.bounds import Count
from fedrobust.defences.contract import DEFENCES
from fedrobust.lazy import keras


@DEFENCES.register("bit-depth")
@dataclass(frozen=True, kw_only=True)
class BitDepth:
    """Round every pixel to one of 2^bits grey levels (Xu et al., 2018, arXiv:1704.01155, section II-B).

    Attributes:
        bits: bits of a pixel; 8 leaves 8-bit images unchanged.

    Example:
        >>> import numpy as np
        >>> np.asarray(BitDepth(bits=1)(np.array([0.2, 0.8], np.float32))).tolist()
        [0.0, 1.0]
    """

    bits: Count = 4

    def __call__(self, images: Any) -> Any:
        """Return `images` with 2^bits levels."""
        levels = float(2**self.bits - 1)
        return keras.ops.round(images * levels) / levels

    def stand_in(self, images: Any) -> Any:
        """Return `images`: the gradient of the rounding is replaced by that of the identity (BPDA)."""
        return images
