"""Calibration images of a trained model: for BatchNorm's statistics and int8 ranges."""

from fedrobust.data.dataset import Split
from fedrobust.randomness import Purpose, generator

FEWEST_IMAGES = 64
"""Fewest validation images whose BatchNorm statistics are measured."""

MOST_IMAGES = 1024
MOST_VALUES = 50_000_000
"""Most values of all images together: 200 MB as float32, 332 colour images of 224 pixels."""


def calibration_sample(split: Split, seed: int) -> Split:
    """Return `split`, or a stratified random sample of a large one.

    The sample has at most 1,024 images and 50 million values. It is random because splits may be sorted by class,
    hospital or patient; it depends only on the seed.

    Args:
        split: labelled images.
        seed: the study's.

    Example:
        >>> import numpy as np
        >>> split = Split(np.zeros((5000, 8, 8, 1), np.uint8), np.repeat(np.arange(2, dtype=np.int32), [4000, 1000]))
        >>> calibration_sample(split, seed=0).counts(2)
        array([819, 205])
    """
    return split.sample(calibration_count(split), generator(seed, Purpose.CALIBRATION))


def calibration_count(split: Split) -> int:
    """Return the number of images in the sample of `split`."""
    height, width, channels = split.images.shape[1:]
    return min(len(split), MOST_IMAGES, max(1, MOST_VALUES // (height * width * channels)))
