"""Bring images to one size, their aspect ratio kept."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def fitted(pixels: NDArray[Any], size: int, fit: str) -> NDArray[Any]:
    """Return an image of `size` by `size` pixels, resampled bicubically with the aspect ratio kept.

    Args:
        pixels: (height, width) or (height, width, 3), uint8; or float32 (height, width).
        size: of each side.
        fit: "pad": the whole image, centred on black; "crop": its largest centred square.

    Example:
        >>> wide = np.full((10, 20), 200, np.uint8)
        >>> fitted(wide, 4, "pad").tolist()
        [[0, 0, 0, 0], [200, 200, 200, 200], [200, 200, 200, 200], [0, 0, 0, 0]]
        >>> fitted(wide, 4, "crop").min()
        np.uint8(200)
    """
    height, width = pixels.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
        height = width = side
    scale = size / max(height, width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    small = resized(pixels, tall, wide)
    if (tall, wide) == (size, size):
        return small
    canvas = np.zeros((size, size, *pixels.shape[2:]), pixels.dtype)
    top, left = (size - tall) // 2, (size - wide) // 2
    canvas[top : top + tall, left : left + wide] = small
    return canvas


def resized(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return an image resampled bicubically, with antialiasing where it gets smaller."""
    if pixels.shape[:2] == (height, width):
        return pixels
    small = np.asarray(
        Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BICUBIC)
    )
    # Bicubic interpolation overshoots at edges; Pillow clips 8-bit pixels alone.
    return small if pixels.dtype == np.uint8 else np.clip(small, pixels.min(), pixels.max())
