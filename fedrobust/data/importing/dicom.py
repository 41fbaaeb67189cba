"""Decode DICOM files with pydicom: rescale, window, MONOCHROME1.

pydicom is imported inside functions: it comes with the extra ``fedrobust[dicom]``.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.importing.entry import ImageError, Picture

OWN_WINDOW = "DICOM shown in the window that each file records"
NO_WINDOW = "DICOM without a window: black and white are the ends of the stored bits"
PALETTE = "had a palette: its colours are used"
INVERTED = "MONOCHROME1 (white is low): inverted"

LEAST_FILLED = 0.25
"""Share of the range of the stored bits that an image without a window fills at least."""


def is_dicom(path: Path) -> bool:
    """Return whether a file has DICOM's preamble, or its extension."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def decode_dicom(path: Path, window: tuple[float, float] | None = None) -> Picture:
    """Decode one DICOM image to 8 bits.

    Stored values are rescaled (slope and intercept), then shown in `window`, else in the file's own first window (its
    VOI LUT), else over the range of its stored bits, of which the values have to fill a fair part. MONOCHROME1 is
    inverted. Colour images become RGB.

    Args:
        path: of the file.
        window: rescaled values of black and white, such as Hounsfield units.

    Raises:
        ImageError: pydicom is missing, the file is no image, has several frames, or cannot be decoded.
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ModuleNotFoundError as error:
        raise ImageError(
            "DICOM needs pydicom, which is not installed: pip install 'fedrobust[dicom]'"
        ) from error
    try:
        file = pydicom.dcmread(path)
    except InvalidDicomError as error:
        raise ImageError("named .dcm, but not a DICOM file") from error
    if "PixelData" not in file:
        raise ImageError(f"DICOM without an image ({file.get('Modality', 'no modality')})")
    frames = int(file.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise ImageError(
            f"DICOM of {frames} frames; allowed: one image a file; export the frames that matter"
        )
    if "PhotometricInterpretation" not in file:
        raise ImageError("DICOM without PhotometricInterpretation, which says what its pixels mean")
    try:
        return _shown(file, window)
    except ImageError:
        raise
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ImageError(f"DICOM pixels cannot be decoded: {_reason(error)}") from error


def _shown(file: Any, window: tuple[float, float] | None) -> Picture:
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    kind = str(file.PhotometricInterpretation)
    stored = pixel_array(file)  # YBR is converted to RGB
    if kind == "PALETTE COLOR":
        colours = apply_color_lut(stored, file)[..., :3]
        return Picture(colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8), (PALETTE,))
    if stored.ndim == 3:
        if stored.dtype != np.uint8:
            raise ImageError(f"DICOM colours of dtype {stored.dtype}; allowed: 8 bits a channel")
        return Picture(stored)
    values = np.asarray(apply_modality_lut(stored, file), np.float64)
    traits: list[str] = []
    if window:
        share = _linear(values, *window)
    else:
        told, share = _as_recorded(file, values)
        traits.append(told)
    if kind == "MONOCHROME1":
        traits.append(INVERTED)
        share = 1 - share
    grey: NDArray[np.uint8] = np.rint(share * 255).astype(np.uint8)
    return Picture(grey, tuple(traits))


def _as_recorded(file: Any, values: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
    """Return rescaled values from 0 (black) to 1 (white) as the file says that they are shown (PS3.3 C.11.2.1)."""
    from pydicom.pixels.processing import apply_voi

    if "WindowWidth" in file:
        centre, width = _first(file.WindowCenter), _first(file.WindowWidth)
        curve = str(file.get("VOILUTFunction", "LINEAR")).upper()
        if curve == "SIGMOID":
            return OWN_WINDOW, 1 / (1 + np.exp(-4 * (values - centre) / width))
        if curve == "LINEAR":
            centre, width = centre - 0.5, width - 1
        return OWN_WINDOW, _linear(values, centre - width / 2, centre + width / 2)
    if "VOILUTSequence" in file:
        table = np.asarray(apply_voi(np.rint(values).astype(np.int64), file), np.float64)
        return OWN_WINDOW, _linear(table, 0, 2 ** int(file.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    low, high = _stored_range(file)
    if np.ptp(values) < LEAST_FILLED * (high - low):
        raise ImageError(
            f"DICOM without a window, with values from {values.min():g} to {values.max():g} of {low:g} to {high:g}: it "
            "would have hardly any contrast; name the values that become black and white: --window LOW:HIGH"
        )
    return NO_WINDOW, _linear(values, low, high)


def _linear(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Map `low` to 0 and `high` to 1, clipped; a window without width is a threshold."""
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1)


def _first(value: Any) -> float:
    """Return the first of a file's windows."""
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _reason(error: Exception) -> str:
    """Return why pydicom could not decode pixels, in one line; of several decoders the last one's reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "missing dependencies" in lines[0]:
        return f"{lines[0].split(' pixel data')[0]}: the decoder is not installed: pip install 'fedrobust[dicom]'"
    return lines[-1]


def _stored_range(file: Any) -> tuple[float, float]:
    """Return the rescaled values of the smallest and the largest number that the stored bits hold."""
    bits = int(file.BitsStored)
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if int(file.PixelRepresentation) else (0, 2**bits - 1)
    slope, intercept = float(file.get("RescaleSlope", 1)), float(file.get("RescaleIntercept", 0))
    low, high = sorted(slope * end + intercept for end in ends)
    return low, high
