"""The contrast of a trigger that is left after the model has resized the image."""

from collections.abc import Callable

import numpy as np

BACKGROUNDS = (0, 128, 255)
"""Grey levels of the empty images on which a trigger is looked at."""

LEAST = 0.25
"""Share of a trigger's contrast that has to be left after resizing."""


def unit(height: int, width: int) -> int:
    """Return how many stored pixels stand for one of a 28 x 28 image, in which triggers are drawn: at least 1.

    Example:
        >>> unit(28, 28), unit(64, 64), unit(224, 224), unit(16, 20)
        (1, 2, 8, 1)
    """
    return max(1, min(height, width) // 28)


def require_visible(
    stamped: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int, int], image_size: int
) -> None:
    """Refuse a trigger that is not there any more when the network has resized the image.

    Args:
        stamped: uint8 images (n, height, width, channels) to the same with the trigger.
        shape: (height, width, channels) of stored images.
        image_size: side that the network resizes them to; 0 if it takes them as they are.

    Raises:
        ValueError: stored as 8-bit images nothing of the trigger is left, or resizing leaves less than a quarter.
    """
    height, width, _ = shape
    stored, seen = contrast(stamped, shape, 0), contrast(stamped, shape, image_size)
    if stored < 1:
        raise ValueError("nothing of the trigger is left in images of 8 bits: make it stronger")
    if seen < LEAST * stored:
        raise ValueError(
            f"the trigger all but vanishes where the network resizes images from {height} x {width} to "
            f"{image_size} x {image_size}: it changes a pixel by {seen:.0f} grey levels, as stored by "
            f"{stored:.0f}; leave its size out (it then grows with the image), or raise model.image-size"
        )


def contrast(
    stamped: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int, int], image_size: int
) -> float:
    """Return the largest change of a pixel that a trigger brings, in grey levels: the mean over empty backgrounds."""
    empty = np.stack([np.full(shape, level, np.uint8) for level in BACKGROUNDS])
    change = stamped(empty).astype(np.float64) - empty
    side = (image_size, image_size) if image_size else shape[:2]
    return float(np.abs(resized(change, side)).max((1, 2, 3)).mean())


def resized(images: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Return `images` (n, height, width, channels) as `fedrobust.models.preparation` resizes them, without TensorFlow.

    Bilinear, with a wider kernel where a side shrinks (as ``tf.image.resize`` with ``antialias``).
    """
    rows, columns = _weights(images.shape[1], side[0]), _weights(images.shape[2], side[1])
    result: np.ndarray = np.einsum(
        "ij,njkc,lk->nilc", rows, images.astype(np.float64), columns, optimize=True
    )
    return result


def _weights(old: int, new: int) -> np.ndarray:
    """Return what each of `old` pixels of a line contributes to each of `new` ones, (new, old)."""
    reach = max(1.0, old / new)
    centres = (np.arange(new) + 0.5) * old / new
    apart = np.abs(np.arange(old)[None, :] + 0.5 - centres[:, None]) / reach
    weights = np.maximum(0, 1 - apart)
    result: np.ndarray = weights / weights.sum(1, keepdims=True)
    return result
