"""More transfer images: copies of those that a student learns from, moved and blended, for its teacher to answer."""

import numpy as np
import tensorflow as tf

from fedrobust.randomness import Purpose, graph_seed
from fedrobust.training.augmentations import Affine, Flip, Mixup, augmented

CHUNK = 1024
"""Images that are moved at once."""


def moved_copies(images: np.ndarray, copies: int, seed: int, mixup: float = 0.0) -> np.ndarray:
    """Return `copies` of every image, each rotated, shifted, zoomed and perhaps mirrored, uint8 (copies * n, ...).

    A teacher is asked for its answer on each, so that no copy has to show what its original does (Beyer et al., 2021,
    arXiv:2106.05237: a patient and consistent teacher).

    Args:
        images: uint8 (n, height, width, channels).
        copies: of every image, in the order of `images`, one whole set after another.
        seed: the study's.
        mixup: alpha of Beta(alpha, alpha) by which each copy is blended with another; 0 blends none.

    Example:
        >>> moved_copies(np.zeros((3, 8, 8, 1), np.uint8), copies=2, seed=0).shape
        (6, 8, 8, 1)
    """
    changes = (Flip(), Affine(), *((Mixup(alpha=mixup),) if mixup else ()))
    made = [np.zeros((0, *images.shape[1:]), np.uint8)]
    for copy in range(copies):
        for start in range(0, len(images), CHUNK):
            chunk = tf.cast(images[start : start + CHUNK], tf.float32) / 255.0
            draw = tf.constant(graph_seed(seed, Purpose.DISTILLATION, copy + 1, start + 1))
            moved, _ = augmented(changes, chunk, tf.zeros([len(chunk), 2]), draw)
            made.append(np.rint(np.asarray(moved) * 255).astype(np.uint8))
    return np.concatenate(made)
