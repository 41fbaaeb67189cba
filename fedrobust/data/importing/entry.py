"""One image to import: where it comes from, and its pixels as decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Names of splits in folders and tables, in small letters."""


class ImageError(ValueError):
    """One image cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as decoded, before it is brought to its final size.

    Attributes:
        pixels: (height, width) or (height, width, 3), uint8; float32 where the pixels are deeper than 8 bits and
            the values of black and white are not known yet.
        traits: what was found and converted, one phrase each, such as "transparency".
    """

    pixels: NDArray[Any]
    traits: tuple[str, ...] = ()

    @property
    def is_deep(self) -> bool:
        """Whether the pixels still have to be mapped to 8 bits."""
        return self.pixels.dtype != np.uint8


@dataclass(frozen=True, eq=False)
class Entry:
    """One image to import.

    Attributes:
        name: of the image in messages: a path relative to the source, or a position.
        label: name of its class.
        read: decodes the image; raises an `ImageError`.
        site: name of its site; empty: unknown.
        patient: identifier of its patient; empty: unknown.
        split: "train", "val" or "test"; empty: to be drawn.
    """

    name: str
    label: str
    read: Callable[[], Picture]
    site: str = ""
    patient: str = ""
    split: str = ""


@dataclass(frozen=True)
class Source:
    """The images of a folder, a table or arrays.

    Attributes:
        name: of the source, for messages.
        entries: the images.
        remarks: what was left out, a sentence each.
    """

    name: str
    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()
