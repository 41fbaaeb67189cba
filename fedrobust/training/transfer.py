"""Augmented transfer images for distillation, whose logits the teacher computes."""

import numpy as np
import tensorflow as tf

from fedrobust.randomness import Purpose, graph_seed
from fedrobust.training.augmentations import Affine, Flip, Mixup, augmented

CHUNK = 1024
"""Images that are transformed at a time."""


def moved_copies(images: np.ndarray, copies: int, seed: int, mixup: float = 0.0) -> np.ndarray:
    """Return `copies` augmented copies of every image (rotated, shifted, zoomed, flipped), uint8 (copies * n, ...).

    The teacher computes the logits of each copy itself, so that copies need not keep the label of their original (Beyer
    et al., 2021, arXiv:2106.05237, consistent teaching).

    Args:
        images: uint8 (n, height, width, channels).
        copies: number of copies of every image, in the order of `images`, one whole set after another.
        seed: the study's.
        mixup: alpha of Beta(alpha, alpha) by which each copy is mixed with another; 0: no mixing.

    Example:
        >>> moved_copies(np.zeros((3, 8, 8, 1), np.uint8), copies=2, seed=0).shape
        (6, 8, 8, 1)
    """
    return labelled_copies(images, np.zeros((len(images), 1), np.float32), copies, seed, mixup)[0]


def labelled_copies(
    images: np.ndarray, targets: np.ndarray, copies: int, seed: int, mixup: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the copies of `moved_copies` and their targets, float32 (copies * n, classes), mixed as the images are.

    Args:
        images: uint8 (n, height, width, channels).
        targets: (n, classes) right answers in [0, 1].
        copies: see `moved_copies`.
        seed: the study's.
        mixup: see `moved_copies`.
    """
    changes = (Flip(), Affine(), *((Mixup(alpha=mixup),) if mixup else ()))
    made = [np.zeros((0, *images.shape[1:]), np.uint8)]
    told = [np.zeros((0, targets.shape[1]), np.float32)]
    for copy in range(copies):
        for start in range(0, len(images), CHUNK):
            chunk = tf.cast(images[start : start + CHUNK], tf.float32) / 255.0
            right = tf.constant(targets[start : start + CHUNK], tf.float32)
            draw = tf.constant(graph_seed(seed, Purpose.DISTILLATION, copy + 1, start + 1))
            moved, mixed = augmented(changes, chunk, right, draw)
            made.append(np.rint(np.asarray(moved) * 255).astype(np.uint8))
            told.append(np.asarray(mixed))
    return np.concatenate(made), np.concatenate(told)
