"""Gamma shift: another tone curve."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, Severity, as_pixels, of_severity

GAMMAS = (1.25, 1.5, 1.8, 2.2, 2.7)


@SITE_SHIFTS.register("gamma")
@dataclass(frozen=True, kw_only=True)
class Gamma:
    """Raise pixels in [0, 1] to the power gamma: the tone curve of another scanner or display.

    One of the shifts of MedFL-Stress (2026, arXiv:2605.09025).

    Attributes:
        severity: gamma 1.25, 1.5, 1.8, 2.2 or 2.7.
        darker: false: the power is 1 / gamma, and images become lighter.

    Example:
        >>> grey = Split(np.full((1, 2, 2, 1), 128, np.uint8), np.zeros(1, np.int32))
        >>> draw = np.random.default_rng(0)
        >>> [int(Gamma(severity=4, darker=each)(grey, 2, draw).images[0, 0, 0, 0]) for each in (True, False)]
        [56, 186]
    """

    CHANGES_IMAGES: ClassVar[bool] = True

    severity: Severity = 3
    darker: bool = True

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the images with the other tone curve."""
        gamma = of_severity(GAMMAS, self.severity)
        curve = as_pixels((np.arange(256) / 255.0) ** (gamma if self.darker else 1.0 / gamma))
        return Split(curve[split.images], split.labels)
