"""Images as PNG data URIs, for a self-contained page."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def data_uri(image: NDArray[np.float32]) -> str:
    """Return one image as a PNG data URI.

    Args:
        image: (height, width, 1 or 3) in [0, 1]; values outside are clipped.
    """
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode('ascii')}"


def png(image: NDArray[np.float32]) -> bytes:
    """Encode one image as an 8-bit PNG, grey for one channel and RGB for three.

    Raises:
        ValueError: the image has neither one nor three channels.
    """
    height, width, channels = image.shape
    if channels not in (1, 3):
        raise ValueError(f"an image of {channels} channels is neither grey (1) nor RGB (3)")
    pixels = (
        np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8).reshape(height, width * channels)
    )
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels])  # a PNG row begins with its filter: 0, none
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 9)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def difference(
    clean: NDArray[np.float32], attacked: NDArray[np.float32], largest: float
) -> NDArray[np.float32]:
    """Return an amplified perturbation: mid-grey is 0, black is -largest, white is +largest.

    Args:
        clean: (height, width, channels) in [0, 1].
        attacked: the same shape.
        largest: the change that is black or white; 0 gives mid-grey.
    """
    if largest <= 0:
        return np.full_like(clean, 0.5)
    return np.asarray(0.5 + (attacked - clean) / (2 * largest), np.float32)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
