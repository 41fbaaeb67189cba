"""Noise shift: a lower dose, or a noisier detector."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, Severity, as_pixels, of_severity

DEVIATIONS = (0.02, 0.04, 0.07, 0.11, 0.16)


@SITE_SHIFTS.register("noise")
@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add Gaussian noise to every pixel: a lower dose, or a noisier detector.

    After Hendrycks and Dietterich (2019, arXiv:1903.12261).

    Attributes:
        severity: standard deviation 0.02, 0.04, 0.07, 0.11 or 0.16 of the range of pixels.

    Example:
        >>> grey = Split(np.full((1, 64, 64, 1), 128, np.uint8), np.zeros(1, np.int32))
        >>> shifted = Noise(severity=3)(grey, 2, np.random.default_rng(0)).images
        >>> round(float(shifted.std() / 255), 2)
        0.07
    """

    CHANGES_IMAGES: ClassVar[bool] = True

    severity: Severity = 3

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the noisy images."""
        noise = generator.standard_normal(split.images.shape, np.float32)
        return Split(
            as_pixels(split.images / 255.0 + of_severity(DEVIATIONS, self.severity) * noise), split.labels
        )
