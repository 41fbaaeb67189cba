"""How images of any size and depth became those of a data set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FITS = ("pad", "crop")


@dataclass(frozen=True)
class Conversion:
    """How images of any size and depth became those of a data set, so that new ones are converted alike.

    Args:
        fit: "pad": the whole image, centred on black; "crop": its largest centred square; empty: not known.
        window: values of black and white of pixels deeper than 8 bits, and of DICOM files; None: none was named.
        white: the value that is white in images deeper than 8 bits, of which 0 is black, where no window was named;
            None: there were no such images, or it is not known.

    Raises:
        ValueError: a value is not allowed.

    Example:
        >>> Conversion("pad", white=4095.0).to_json()
        {'fit': 'pad', 'white': 4095.0}
        >>> Conversion.of({"fit": "pad", "white": 4095}).shown
        (0.0, 4095.0)
        >>> Conversion("stretch")
        Traceback (most recent call last):
        ValueError: fit = 'stretch'; allowed: pad, crop
    """

    fit: str = ""
    window: tuple[float, float] | None = None
    white: float | None = None

    def __post_init__(self) -> None:
        if self.fit not in ("", *FITS):
            raise ValueError(f"fit = {self.fit!r}; allowed: {', '.join(FITS)}")
        if self.window is not None and not -np.inf < self.window[0] < self.window[1] < np.inf:
            raise ValueError(
                f"window = {self.window}; allowed: two numbers, black before white, such as -1000:400"
            )
        if self.white is not None and not 0 < self.white < np.inf:
            raise ValueError(f"white = {self.white}; allowed: a number above 0, such as 4095")

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; unknown keys are ignored.

        Raises:
            ValueError: a value is not allowed.
        """
        fit, window, white = content.get("fit", ""), content.get("window"), content.get("white")
        try:
            return cls(
                str(fit),
                None if window is None else _two(window),
                None if white is None else float(white),
            )
        except TypeError as error:
            raise ValueError(f"window = {window!r}, white = {white!r}: not numbers") from error

    def to_json(self) -> dict[str, Any]:
        """Return what is known as plain data."""
        known = {
            "fit": self.fit or None,
            "window": None if self.window is None else list(self.window),
            "white": self.white,
        }
        return {key: value for key, value in known.items() if value is not None}

    @property
    def shown(self) -> tuple[float, float] | None:
        """The values of black and white of pixels deeper than 8 bits; None if not known."""
        return self.window if self.window or self.white is None else (0.0, self.white)


NOT_KNOWN = Conversion()


def windowed(pixels: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Map values linearly to 0..255: black at the window's first value and below, white at its second and above.

    Example:
        >>> windowed(np.array([-5, 0, 50, 100, 900], np.float32), (0, 100)).tolist()
        [0, 0, 128, 255, 255]
    """
    low, high = window
    scaled = (np.clip(pixels, low, high) - low) / (high - low) * 255
    return np.rint(scaled).astype(np.uint8)


def common(conversions: Sequence[Conversion]) -> Conversion:
    """Return what the conversions that tell something agree on; where two differ it is not known.

    Example:
        >>> common([Conversion("pad", white=4095.0), Conversion("pad", white=65535.0), Conversion()])
        Conversion(fit='pad', window=None, white=None)
        >>> common([Conversion("pad", white=4095.0), Conversion("pad")]).white
        4095.0
    """
    fit, window, white = (
        _agreed(getattr(each, name) for each in conversions) for name in ("fit", "window", "white")
    )
    if _agreed(each.shown for each in conversions) is None:
        window = white = None
    return Conversion(fit or "", window, white)


def _agreed(values: Iterable[Any]) -> Any:
    known = set(values) - {None, ""}
    return known.pop() if len(known) == 1 else None


def _two(window: Any) -> tuple[float, float]:
    low, high = window
    return float(low), float(high)
