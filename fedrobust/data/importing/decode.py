"""Decode image files and arrays: Pillow's formats, with palettes, transparency, 16 bits and EXIF orientation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fedrobust.data.conversion import windowed
from fedrobust.data.importing.dicom import PALETTE, decode_dicom, is_dicom
from fedrobust.data.importing.entry import ImageError, Picture
from fedrobust.data.npz import advice_on_values

TRANSPARENT = "had transparency: shown on black"
ROTATED = "turned as their EXIF orientation says"
INVERTED = "WhiteIsZero (white is low): inverted"
MOST_PIXELS = 89_478_485
"""Pixels of an image at most, as Pillow recommends: more may be made to fill the memory."""

DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
"""Pillow's modes of pixels deeper than 8 bits."""


def decode(path: Path, window: tuple[float, float] | None = None) -> Picture:
    """Decode one image file.

    Args:
        path: in a format of Pillow, or DICOM.
        window: values of black and white for pixels deeper than 8 bits; None: a DICOM file's own, and for other
            files none yet: the pixels are returned as float32.

    Raises:
        ImageError: the file cannot be read, has several frames, or its pixels cannot be mapped to 8 bits.
    """
    try:
        if path.stat().st_size == 0:
            raise ImageError("empty file")
        if is_dicom(path):
            return decode_dicom(path, window)
        with Image.open(path) as image:
            _check_size(image.width * image.height)
            return _of_image(image, window)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("no such file") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"more pixels than {MOST_PIXELS:,}; make it smaller first") from error
    except UnidentifiedImageError as error:
        raise ImageError("no image format that Pillow knows, and not DICOM") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise ImageError(
            f"damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def _check_size(pixels: int) -> None:
    if pixels > MOST_PIXELS:
        raise ImageError(f"more pixels than {MOST_PIXELS:,}; make it smaller first")


def _of_image(image: Image.Image, window: tuple[float, float] | None) -> Picture:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ImageError(
            f"{frames} frames; allowed: one image a file; save the frames that matter as own files"
        )
    if image.mode not in DEEP and ";16" in str(getattr(image, "tile", "")):
        # Pillow reads the upper 8 bits of several channels: of 12 bits in 16 nearly nothing.
        raise ImageError(
            "16 bits a channel, in colours or with transparency, of which 8 would be read; save it as grey of 16 bits "
            "or with 8 bits a channel"
        )
    traits, stored = [], getattr(image, "tag_v2", {})  # of TIFF; a turned image has none
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
        traits.append(ROTATED)
    if image.mode in DEEP:
        pixels = np.asarray(image).astype(np.float32)
        if stored.get(ExifTags.Base.PhotometricInterpretation) == 0:
            pixels = _inverted(pixels, image.mode, stored)
            traits.append(INVERTED)
        return Picture(windowed(pixels, window) if window else _checked(pixels), (*traits,))
    if image.mode in ("P", "PA"):
        traits.append(PALETTE)
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        if np.asarray(layers)[..., 3].min() < 255:
            traits.append(TRANSPARENT)
            image = Image.alpha_composite(Image.new("RGBA", layers.size, "black"), layers)
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return Picture(np.asarray(image.convert(mode)), tuple(traits))


def _inverted(pixels: NDArray[np.float32], mode: str, tags: Mapping[int, Any]) -> NDArray[np.float32]:
    """Return deep pixels that are stored as WhiteIsZero with black at 0; Pillow does it for 8 bits alone."""
    if mode == "F":
        raise ImageError(
            "floating-point pixels as WhiteIsZero, whose black is no known value; save BlackIsZero"
        )
    (bits,) = tags[ExifTags.Base.BitsPerSample]
    return np.float32(2**bits - 1) - pixels


def of_array(array: NDArray[Any], window: tuple[float, float] | None = None) -> Picture:
    """Return one image given as an array.

    Args:
        array: (height, width), (height, width, 1), or (height, width, 3): uint8 or uint16.
        window: values of black and white for uint16.

    Raises:
        ImageError: it has another shape or dtype.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise ImageError(
            f"shape {array.shape}; allowed: (height, width), (height, width, 1) or (height, width, 3)"
        )
    if array.dtype == np.uint8:
        return Picture(array)
    if array.dtype == np.uint16 and array.ndim == 2:
        pixels = array.astype(np.float32)
        return Picture(windowed(pixels, window) if window else pixels)
    raise ImageError(
        f"dtype {array.dtype}; allowed: uint8, or uint16 for grey images{advice_on_values(array)}"
    )


def of_pillow(image: Image.Image, window: tuple[float, float] | None = None) -> Picture:
    """Return one image that Pillow has opened.

    Raises:
        ImageError: see `decode`.
    """
    try:
        return _of_image(image, window)
    except ImageError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise ImageError(f"damaged: {error}") from error


def _checked(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return deep pixels that lie in 0..65535, as 16-bit images do."""
    if not np.isfinite(pixels).all():
        raise ImageError("some pixels are NaN or infinite")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 65535 or (pixels != np.rint(pixels)).any():
        raise ImageError(
            f"values from {low:g} to {high:g}; name those that become black and white: --window LOW:HIGH"
        )
    return pixels
