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
INVERTED = "MONOCHROME1 (white is low): inverted"


def is_dicom(path: Path) -> bool:
    """Return whether a file has DICOM's preamble, or its extension."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def decode_dicom(path: Path, window: tuple[float, float] | None = None) -> Picture:
    """Decode one DICOM image to 8 bits.

    Stored values are rescaled (slope and intercept), then shown in `window`, else in the file's own first window (its
    VOI LUT), else over the range of its stored bits. MONOCHROME1 is inverted. Colour images become RGB.

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
    try:
        return _shown(file, window)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ImageError(f"DICOM pixels cannot be decoded: {str(error).splitlines()[0]}") from error


def _shown(file: Any, window: tuple[float, float] | None) -> Picture:
    from pydicom.pixels.processing import apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    kind = str(file.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        raise ImageError("DICOM with a palette; allowed: MONOCHROME1, MONOCHROME2, and colour as RGB or YBR")
    stored = pixel_array(file)  # YBR is converted to RGB
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
    return NO_WINDOW, _linear(values, *_stored_range(file))


def _linear(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Map `low` to 0 and `high` to 1, clipped; a window without width is a threshold."""
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1)


def _first(value: Any) -> float:
    """Return the first of a file's windows."""
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _stored_range(file: Any) -> tuple[float, float]:
    """Return the rescaled values of the smallest and the largest number that the stored bits hold."""
    bits = int(file.BitsStored)
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if int(file.PixelRepresentation) else (0, 2**bits - 1)
    slope, intercept = float(file.get("RescaleSlope", 1)), float(file.get("RescaleIntercept", 0))
    low, high = sorted(slope * end + intercept for end in ends)
    return low, high
