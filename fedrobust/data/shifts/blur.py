"""Blur shift: a softer image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, Severity, as_pixels, of_severity
from fedrobust.lazy import ndimage

SIGMAS = (0.02, 0.03, 0.045, 0.06, 0.08)
"""Standard deviations of the Gaussian, as shares of the image's longer side."""


@SITE_SHIFTS.register("blur")
@dataclass(frozen=True, kw_only=True)
class Blur:
    """Blur images with a Gaussian: defocus, or a softer reconstruction kernel.

    After Hendrycks and Dietterich (2019, arXiv:1903.12261).

    Attributes:
        severity: standard deviation of 2, 3, 4.5, 6 or 8 % of the image's longer side.

    Example:
        >>> dot = np.zeros((1, 9, 9, 1), np.uint8)
        >>> dot[0, 4, 4] = 255
        >>> blurred = Blur(severity=5)(Split(dot, np.zeros(1, np.int32)), 2, np.random.default_rng(0)).images
        >>> int(blurred.max()), int(blurred[0, 4, 5, 0])
        (78, 30)
    """

    CHANGES_IMAGES: ClassVar[bool] = True

    severity: Severity = 3

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the blurred images."""
        sigma = of_severity(SIGMAS, self.severity) * max(split.images.shape[1:3])
        images = ndimage.gaussian_filter(split.images / 255.0, (0, sigma, sigma, 0), mode="nearest")
        return Split(as_pixels(images), split.labels)
