"""Random directions of queries: independent pixels, or low frequencies."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.rng import Keys, signs
from fedrobust.lazy import fft

Basis = Literal["pixels", "dct"]

MOST_VALUES = 2**25
"""Most values of directions held in memory at a time: 128 MB as float32."""


def random_directions(
    keys: Keys, counter: int, shape: tuple[int, ...], basis: Basis = "pixels", frequencies: float = 0.25
) -> NDArray[np.float32]:
    """Return random directions, (n, *shape) float32, with a mean square of about 1.

    Args:
        keys: (n,) one an image.
        counter: distinguishes draws of one image.
        shape: (..., height, width, channels).
        basis: "pixels": independent random signs; "dct": random signs as coefficients of the lowest frequencies of the
            discrete cosine transform, 0 elsewhere (Guo et al., 2018, arXiv:1809.08758, section 3).
        frequencies: share of the frequencies of each axis that "dct" uses.

    Example:
        >>> from fedrobust.evasion.rng import keys_of
        >>> smooth = random_directions(keys_of(0, np.arange(5)), 0, (8, 8, 1), "dct", 0.125)
        >>> bool(np.allclose(smooth, smooth[:, :1, :1]))  # the lowest frequency alone is a constant
        True
    """
    if basis == "pixels":
        return signs(keys, counter, shape)
    *many, height, width, channels = shape
    rows, columns = (max(1, round(frequencies * side)) for side in (height, width))
    coefficients = signs(keys, counter, (*many, rows, columns, channels))
    waves = fft.idctn(coefficients, s=(height, width), axes=(-3, -2), norm="ortho")
    return np.float32(np.sqrt(height * width / (rows * columns))) * waves


def parts_of(count: int, n: int, shape: tuple[int, ...]) -> list[int]:
    """Return the sizes of the parts into which `count` directions are split to fit into memory.

    Args:
        count: directions for each image.
        n: number of images.
        shape: (height, width, channels).

    Example:
        >>> parts_of(100, 200, (28, 28, 1)), parts_of(5, 256, (224, 224, 3))
        ([100], [1, 1, 1, 1, 1])
    """
    most = max(1, MOST_VALUES // (max(n, 1) * int(np.prod(shape))))
    return [min(most, count - start) for start in range(0, count, most)]
