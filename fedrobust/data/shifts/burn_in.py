"""Burn-in: text that the device writes into the image."""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fedrobust.bounds import Text
from fedrobust.data.dataset import DataError, Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, Severity, of_severity

HEIGHTS = (0.12, 0.17, 0.22, 0.28, 0.35)
"""Heights of the text, as shares of the image's height."""


@SITE_SHIFTS.register("burn-in")
@dataclass(frozen=True, kw_only=True)
class BurnIn:
    """Write white text into a corner of every image, as devices burn in a laterality letter or their name.

    A model may learn the site by it (Zech et al., 2018, doi:10.1371/journal.pmed.1002683).

    Attributes:
        severity: height of 12, 17, 22, 28 or 35 % of the image.
        text: what is written.
        corner: where.

    Example:
        >>> black = Split(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.int32))
        >>> marked = BurnIn(severity=4)(black, 2, np.random.default_rng(0)).images[0, ..., 0]
        >>> bool(marked[:10, :10].any()), bool(marked[14:].any())
        (True, False)
    """

    CHANGES_IMAGES: ClassVar[bool] = True

    severity: Severity = 3
    text: Text = "L"
    corner: Literal["top-left", "top-right", "bottom-left", "bottom-right"] = "top-left"

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the images with the text.

        Raises:
            DataError: nothing of the text is visible.
        """
        height, width = split.images.shape[1:3]
        ink = _ink(height, width, self.text, of_severity(HEIGHTS, self.severity), self.corner)
        if not ink.any():
            raise DataError(
                f"burn-in(text={self.text!r}): nothing of it is visible on {height} x {width} pixels"
            )
        kept = split.images * (1.0 - ink)
        return Split((kept + 255.0 * ink + 0.5).astype(np.uint8), split.labels)


@cache
def _ink(height: int, width: int, text: str, share: float, corner: str) -> np.ndarray:
    """Return the opacity of the text, (height, width, 1) in [0, 1]."""
    canvas = Image.new("L", (width, height))
    font = ImageFont.load_default(max(6.0, share * height / 0.72))  # capitals are 0.72 of a font's size
    left, top, right, bottom = font.getbbox(text)
    x = 1 - left if "left" in corner else width - 1 - right
    y = 1 - top if "top" in corner else height - 1 - bottom
    ImageDraw.Draw(canvas).text((x, y), text, fill=255, font=font)
    return np.asarray(canvas, np.float64)[..., None] / 255.0
