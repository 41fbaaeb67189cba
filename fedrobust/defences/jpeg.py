"""JPEG compression."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedrobust.defences.contract import DEFENCES
from fedrobust.defences.edges import extended
from fedrobust.lazy import keras

BLOCK = 8

LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""Quantisation steps of ITU-T T.81, tables K.1 and K.2."""

TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""Rows give Y, Cb and Cr of RGB (ITU-T T.871), without the offset of Cb and Cr."""

FLATTEST = 0.1
"""Slope of the soft rounding at whole numbers; at 0 no search would leave them."""

Quality = Annotated[int, Field(ge=1, le=100, description="a whole number from 1 to 100")]


@DEFENCES.register("jpeg")
@dataclass(frozen=True, kw_only=True)
class JPEG:
    """Compress the image as JPEG, and decompress it (Dziugaite et al., 2016, arXiv:1608.00853).

    The loss of ITU-T T.81 without its entropy coding: cosine transform of 8 x 8 blocks, quantisation with libjpeg's
    tables for the quality, and back; colour as YCbCr without subsampling, whose planes are not clipped to 8 bits.

    Attributes:
        quality: libjpeg's, 1 to 100.

    Example:
        >>> grey = np.full((1, 8, 8, 1), 100 / 255, np.float32)
        >>> float(np.asarray(JPEG(quality=50)(grey)).max() * 255)
        100.0
    """

    quality: Quality = 75

    def __call__(self, images: Any) -> Any:
        """Return the compressed and decompressed images."""
        height, width, channels = images.shape[1:]
        return compressed(images, quantisation_steps(self.quality, channels, height, width))

    def stand_in(self, images: Any) -> Any:
        """Return the images with softly rounded coefficients, for the gradient of attacks (BPDA).

        The gradient of the identity spends a perturbation on coefficients that are rounded back to 0; that of soft
        rounding spends it on those that change. After Shin and Song (2017), whose rounding has the slope 0 at whole
        numbers, where no search would leave them; see `soft_round`.
        """
        height, width, channels = images.shape[1:]
        steps = quantisation_steps(self.quality, channels, height, width)
        to = TO_YCBCR if channels == 3 else np.eye(1)
        offset = np.array([128.0, 0.0, 0.0], np.float32)[:channels]
        pixels = keras.ops.matmul(images * 255.0, to.T.astype(np.float32)) - offset
        pixels = quantised(pixels, steps, soft_round) + offset
        return keras.ops.matmul(pixels, np.linalg.inv(to).T.astype(np.float32)) / 255.0


def compressed(images: Any, steps: Any) -> Any:
    """Return images after quantisation of their cosine transform.

    Args:
        images: (n, height, width, channels) in [0, 1].
        steps: of `quantisation_steps`, for all images or with an axis of images in front.
    """
    ops = keras.ops
    channels = images.shape[3]
    pixels = images * 255.0
    if channels == 3:
        pixels = ops.round(ops.matmul(pixels, TO_YCBCR.T.astype(np.float32)))
    pixels = pixels - np.array([128.0, 0.0, 0.0], np.float32)[:channels]
    pixels = ops.round(quantised(pixels, steps, ops.round))
    pixels = pixels + np.array([128.0, 0.0, 0.0], np.float32)[:channels]
    if channels == 3:
        pixels = ops.matmul(pixels, np.linalg.inv(TO_YCBCR).T.astype(np.float32))
    return ops.round(ops.clip(pixels, 0.0, 255.0)) / 255.0


def quantised(pixels: Any, steps: Any, rounded: Callable[[Any], Any]) -> Any:
    """Return pixels, (n, height, width, channels), whose coefficients are multiples of `steps`, as `rounded` tells."""
    ops = keras.ops
    height, width = pixels.shape[1:3]
    planes = ops.transpose(extended(pixels, -height % BLOCK, -width % BLOCK), (0, 3, 1, 2))
    rows, columns = cosines(height + -height % BLOCK), cosines(width + -width % BLOCK)
    coefficients = ops.matmul(ops.matmul(rows, planes), columns.T)
    planes = ops.matmul(ops.matmul(rows.T, rounded(coefficients / steps) * steps), columns)
    return ops.transpose(planes, (0, 2, 3, 1))[:, :height, :width]


def soft_round(values: Any) -> Any:
    """Return `values` minus 0.9 sin(2 pi values) / (2 pi): right at whole and half numbers, steep between them.

    Its slope is 0.1 at whole numbers, where a small change is rounded away, and 1.9 half way between them. Shin and
    Song (2017) have round(x) + (x - round(x))^3, with slopes from 0 to 0.75.

    Example:
        >>> np.round(np.asarray(soft_round(np.array([0.0, 0.25, 0.5, 1.0]))), 3).tolist()
        [0.0, 0.107, 0.5, 1.0]
    """
    return values - (1 - FLATTEST) * keras.ops.sin(2 * np.pi * values) / (2 * np.pi)


def quantisation_steps(quality: int, channels: int, height: int, width: int) -> NDArray[np.float32]:
    """Return the quantisation step of each coefficient, (channels, rows, columns) of whole blocks.

    Args:
        quality: libjpeg's, 1 to 100.
        channels: 1 or 3.
        height: of the images; rows are the next multiple of 8.
        width: likewise.

    Example:
        >>> quantisation_steps(50, channels=1, height=5, width=8)[0, 0].tolist()
        [16.0, 11.0, 10.0, 16.0, 24.0, 40.0, 51.0, 61.0]
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    tables = [np.clip((np.array(table) * scale + 50) // 100, 1, 255) for table in (LUMINANCE, CHROMINANCE)]
    repeats = (-(-height // BLOCK), -(-width // BLOCK))
    return np.stack([np.tile(tables[min(1, channel)], repeats) for channel in range(channels)]).astype(
        np.float32
    )


def cosines(size: int) -> NDArray[np.float32]:
    """Return the orthonormal cosine transform of each block of 8 along an axis, (size, size).

    Args:
        size: a multiple of 8.
    """
    place = np.arange(BLOCK)
    block = np.cos(np.pi * (2 * place + 1) * place[:, None] / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    block[0] /= np.sqrt(2)
    return np.kron(np.eye(size // BLOCK), block).astype(np.float32)
