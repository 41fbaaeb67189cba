"""The size of a perturbation, as the report shows it."""

import math
from dataclasses import dataclass

from fedrobust.report.errors import ReportError


@dataclass(frozen=True, order=True)
class Epsilon:
    """The size of a perturbation, in the [0, 1] scale of the images, with the name the study gave it.

    Args:
        value: the size as a number.
        name: the size as written in the study: ``"0.005"`` or ``"8/255"``.
        norm: how it is measured; only the largest change of a pixel ("linf") can be told in grey levels.
    """

    value: float
    name: str
    norm: str = "linf"

    @classmethod
    def read(cls, name: str, norm: str = "linf") -> "Epsilon":
        """Parse a decimal or a fraction.

        Raises:
            ReportError: `name` is neither.

        Example:
            >>> Epsilon.read("51/255").value
            0.2
        """
        above, slash, below = name.partition("/")
        try:
            value = float(above) / float(below) if slash else float(above)
        except (ValueError, ZeroDivisionError):
            value = math.nan
        if not math.isfinite(value):
            raise ReportError(f"epsilon {name!r} is neither a decimal nor a fraction such as 0.5/255")
        return cls(value, name, norm)

    @property
    def grey(self) -> float:
        """The size in grey levels of an 8-bit image."""
        return self.value * 255

    @property
    def on_axis(self) -> float:
        """Its place on an axis: grey levels, or the value where it is not the change of a pixel."""
        return self.grey if self.norm == "linf" else self.value


def in_words(norm: str) -> str:
    """Return epsilon with its unit, as the title of an axis or a column.

    Example:
        >>> in_words("linf"), in_words("l2")
        ('ε in grey levels', 'ε (l2)')
    """
    return "ε in grey levels" if norm == "linf" else f"ε ({norm})"
