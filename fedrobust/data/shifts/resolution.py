"""Resolution shift: fewer pixels, enlarged again."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from fedrobust.data.dataset import Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, Severity, of_severity

FACTORS = (1.25, 1.5, 2.0, 3.0, 4.0)


@SITE_SHIFTS.register("resolution")
@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Shrink images by averaging over areas, and enlarge them again bilinearly: a scanner of lower resolution.

    After "pixelate" of Hendrycks and Dietterich (2019, arXiv:1903.12261).

    Attributes:
        severity: factor 1.25, 1.5, 2, 3 or 4.

    Example:
        >>> stripes = np.tile(np.array([0, 200], np.uint8), (1, 8, 4)).reshape(1, 8, 8, 1)
        >>> coarse = Resolution(severity=3)(Split(stripes, np.zeros(1, np.int32)), 2, np.random.default_rng(0))
        >>> np.unique(coarse.images).tolist()
        [100]
    """

    CHANGES_IMAGES: ClassVar[bool] = True

    severity: Severity = 3

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the coarser images."""
        factor = of_severity(FACTORS, self.severity)
        return Split(np.stack([_coarse(image, factor) for image in split.images]), split.labels)


def _coarse(image: np.ndarray, factor: float) -> np.ndarray:
    """Return an image (height, width, channels) with details of `factor` pixels averaged."""
    height, width, channels = image.shape
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    coarse = picture.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(coarse, np.uint8).reshape(image.shape)
