"""The images by which a finished model is calibrated: BatchNorm's statistics, and ranges of int8."""

from fedrobust.data.dataset import Split
from fedrobust.randomness import Purpose, generator

MOST_IMAGES = 1024
MOST_VALUES = 50_000_000
"""Grey levels of all images together: 200 MB as float32, 332 colour images of 224 pixels."""


def calibration_sample(split: Split, seed: int) -> Split:
    """Return `split`, or of a large one a drawn sample, every class by its share.

    Of at most 1,024 images and 50 million grey levels. Splits may be sorted by class, hospital or patient, so that the
    first images need not look like the others. The sample of a seed is always the same.

    Args:
        split: labelled images.
        seed: of the study.

    Example:
        >>> import numpy as np
        >>> split = Split(np.zeros((5000, 8, 8, 1), np.uint8), np.repeat(np.arange(2, dtype=np.int32), [4000, 1000]))
        >>> calibration_sample(split, seed=0).counts(2)
        array([819, 205])
    """
    return split.sample(calibration_count(split), generator(seed, Purpose.CALIBRATION))


def calibration_count(split: Split) -> int:
    """Return how many images the sample of `split` has."""
    height, width, channels = split.images.shape[1:]
    return min(len(split), MOST_IMAGES, max(1, MOST_VALUES // (height * width * channels)))
