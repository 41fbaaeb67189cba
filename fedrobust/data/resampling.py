"""Resampling of a client's training images: affine augmentation, and undersampling to balanced classes."""

import math

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.lazy import ndimage

TURN = 15.0
"""Largest rotation in degrees, each way."""

SHIFT = 0.1
"""Largest shift, as a share of the image's side."""

SHEAR = 10.0
"""Largest shear in degrees."""

ZOOM = 0.1
"""Largest zoom, in and out."""


def undersampled(split: Split, generator: np.random.Generator) -> Split:
    """Return a split undersampled to the size of its rarest class; the images keep their order.

    Classes without images are ignored.

    Args:
        split: images of one client.
        generator: draws the images that are kept.

    Example:
        >>> images = np.zeros((5, 8, 8, 1), np.uint8)
        >>> undersampled(Split(images, np.array([0, 1, 1, 1, 0], np.int32)), np.random.default_rng(0)).counts(2)
        array([2, 2])
    """
    members = [np.flatnonzero(split.labels == label) for label in np.unique(split.labels)]
    fewest = min(map(len, members))
    rows = np.sort(np.concatenate([generator.choice(rows, fewest, replace=False) for rows in members]))
    return Split(split.images[rows], split.labels[rows])


def augmented(split: Split, copies: int, generator: np.random.Generator) -> Split:
    """Return a split followed by `copies` augmented copies of each image: rotated, shifted, sheared, zoomed, flipped.

    Args:
        split: images of one client.
        copies: number of copies of each image.
        generator: draws the transformations.

    Example:
        >>> one = Split(np.zeros((1, 8, 8, 1), np.uint8), np.zeros(1, np.int32))
        >>> len(augmented(one, 3, np.random.default_rng(0)))
        4
    """
    moved = [moved_image(image, generator) for _ in range(copies) for image in split.images]
    images = np.concatenate([split.images, np.array(moved, np.uint8).reshape(-1, *split.images.shape[1:])])
    return Split(images, np.tile(split.labels, copies + 1))


def moved_image(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return one image (height, width, channels), uint8, under a random affine map around its centre."""
    turn, shear = np.radians(generator.uniform(-1, 1, 2) * (TURN, SHEAR))
    zoom, flip = 1 + ZOOM * generator.uniform(-1, 1), generator.choice((-1.0, 1.0))
    side = np.array(image.shape[:2])
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    matrix = (
        rotation @ np.array([[1.0, math.sin(shear)], [0.0, math.cos(shear)]]) @ np.diag((zoom, flip * zoom))
    )
    centre = (side - 1) / 2
    offset = centre - matrix @ centre + SHIFT * side * generator.uniform(-1, 1, 2)
    channels = [
        ndimage.affine_transform(image[..., channel], matrix, offset, order=1, mode="nearest")
        for channel in range(image.shape[2])
    ]
    return np.stack(channels, axis=-1)
