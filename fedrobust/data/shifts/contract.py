"""The contract of site shifts, and their registry."""

from typing import Annotated, Protocol

import numpy as np
from pydantic import Field

from fedrobust.data.dataset import Split
from fedrobust.registry import Registry

SITE_SHIFTS = Registry("site shift", "fedrobust.data.shifts")

Severity = Annotated[int, Field(ge=1, le=5, description="a whole number from 1 to 5")]


class SiteShift(Protocol):
    """A frozen dataclass of settings that is called; a user's own may be a plain function.

    With the class attribute ``CHANGES_IMAGES = True`` it is a property of the site's scanner: the site's images are
    changed when the model is tested, too, and neither their number nor their labels are changed. Otherwise training
    images may be left out or get other labels.
    """

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the images as the site has them.

        Args:
            split: the site's images without the shift.
            classes: number of classes.
            generator: of the site.

        Raises:
            DataError: no image would be left, or a class does not exist.
        """
        ...


def of_severity(values: tuple[float, float, float, float, float], severity: int) -> float:
    """Return the strength of a severity, 1 to 5."""
    return values[severity - 1]


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Return images in [0, 1] as uint8, clipped and rounded to the nearest grey level."""
    pixels: np.ndarray = (np.clip(images, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return pixels
