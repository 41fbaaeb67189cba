"""Contrast shift: a smaller range of grey levels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, Severity, as_pixels, of_severity

FACTORS = (0.8, 0.65, 0.5, 0.4, 0.3)


@SITE_SHIFTS.register("low-contrast")
@dataclass(frozen=True, kw_only=True)
class LowContrast:
    """Scale the deviations of an image's pixels from the mean of their channel: another window or exposure.

    After Hendrycks and Dietterich (2019, arXiv:1903.12261).

    Attributes:
        severity: factor 0.8, 0.65, 0.5, 0.4 or 0.3.

    Example:
        >>> two = Split(np.array([0, 200], np.uint8).reshape(1, 1, 2, 1), np.zeros(1, np.int32))
        >>> LowContrast(severity=3)(two, 2, np.random.default_rng(0)).images.ravel().tolist()
        [50, 150]
    """

    CHANGES_IMAGES: ClassVar[bool] = True

    severity: Severity = 3

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the images with less contrast."""
        images = split.images / 255.0
        mean = images.mean(axis=(1, 2), keepdims=True)
        return Split(as_pixels((images - mean) * of_severity(FACTORS, self.severity) + mean), split.labels)
