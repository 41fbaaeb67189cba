"""Decode and fit the images of a source."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from fedrobust.data.conversion import NOT_KNOWN, Conversion, windowed
from fedrobust.data.dataset import DataError
from fedrobust.data.importing.entry import Entry, ImageError, Source
from fedrobust.data.importing.fit import fitted
from fedrobust.data.importing.options import ImportOptions

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Show no progress."""


COLOURED = 8
"""Grey levels by which the channels of a pixel differ at least where an image has colour."""

MOST_NAMED = 100
"""Images named, with the reason, where an import is refused."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits a pixel that scanners use."""


@dataclass(frozen=True, eq=False)
class Collected:
    """Images of one size.

    Attributes:
        entries: of the images.
        images: uint8 (n, size, size, 1 or 3).
        faults: the images that cannot be used, and why: (name, reason).
        remarks: what was decided and converted, a sentence each.
        conversion: of all of them.
    """

    entries: tuple[Entry, ...]
    images: NDArray[np.uint8]
    faults: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    conversion: Conversion = NOT_KNOWN


@dataclass(frozen=True, eq=False)
class _Fitted:
    """One image of the final size.

    Attributes:
        pixels: (size, size) or (size, size, 3); uint8, or float32 if it is deep.
        traits: see `Picture`.
        coloured: whether it has colour.
        enlarged: whether it was smaller.
        padded: whether it is not square.
        peak: its largest value before it was resized.
    """

    pixels: NDArray[Any]
    traits: tuple[str, ...]
    coloured: bool
    enlarged: bool
    padded: bool
    peak: float


def collect(source: Source, options: ImportOptions, progress: Progress = silent) -> Collected:
    """Decode all images of a source and bring them to one size.

    Args:
        source: lists the images.
        options: how.
        progress: called with the number of images read so far, and of all.

    Raises:
        DataError: more images cannot be used than `options.unreadable` allows; each is named. Or they do not fit into
            memory.
    """
    _check_memory(len(source.entries), options)
    with ThreadPoolExecutor() as threads:
        found = []
        for each in threads.map(lambda entry: _read(entry, options), source.entries):
            found.append(each)
            progress(len(found), len(source.entries))
    faults = tuple(
        (entry.name, fault)
        for entry, fault in zip(source.entries, found, strict=True)
        if isinstance(fault, str)
    )
    _check_faults(source, faults, options.unreadable)
    entries = tuple(
        entry for entry, each in zip(source.entries, found, strict=True) if not isinstance(each, str)
    )
    read = [each for each in found if not isinstance(each, str)]
    remarks = [*_colours(entries, read, options), *_depths(read), *_traits(read), *_sizes(read, options)]
    white = white_of(one.peak for one in read) if any(map(_is_deep, read)) else None
    conversion = Conversion(options.fit, options.window, white)
    return Collected(entries, _stacked(read, options), faults, tuple(remarks), conversion)


def _read(entry: Entry, options: ImportOptions) -> _Fitted | str:
    """Return one image of the final size, or why it cannot be used."""
    try:
        picture = entry.read()
    except ImageError as fault:
        return str(fault)
    pixels = picture.pixels
    height, width = pixels.shape[:2]
    spread = np.ptp(pixels, axis=2).max() if pixels.ndim == 3 else 0
    if pixels.ndim == 3 and (options.colour == "grey" or spread == 0):
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    return _Fitted(
        pixels=fitted(pixels, options.size, options.fit),
        traits=picture.traits,
        coloured=bool(spread >= COLOURED),
        enlarged=(min if options.fit == "crop" else max)(height, width) < options.size,
        padded=height != width,
        peak=float(pixels.max()) if picture.is_deep else 0.0,
    )


def _stacked(read: list[_Fitted], options: ImportOptions) -> NDArray[np.uint8]:
    colour = options.colour == "rgb" or (options.colour == "auto" and any(one.coloured for one in read))
    high = white_of(one.peak for one in read)
    images = np.empty((len(read), options.size, options.size, 3 if colour else 1), np.uint8)
    for place, one in enumerate(read):
        pixels = one.pixels if one.pixels.dtype == np.uint8 else windowed(one.pixels, (0, high))
        if pixels.ndim == 3 and not colour:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))
        images[place] = pixels[..., None] if pixels.ndim == 2 else pixels
    return images


def white_of(peaks: Iterable[float]) -> float:
    """Return the value that becomes white in deep images: the largest of the smallest usual depth that holds them all.

    Args:
        peaks: the largest value of each image.

    Example:
        >>> white_of([900.0, 3000.0])
        4095.0
    """
    peak = max(peaks, default=0.0)
    return next(float(2**bits - 1) for bits in DEPTHS if peak < 2**bits)


def _check_memory(count: int, options: ImportOptions) -> None:
    # Twice: the images one by one, and as one array.
    needed = 2 * count * options.size**2 * (1 if options.colour == "grey" else 3)
    free = psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{count} images of size = {options.size} take up to {needed / 2**30:.1f} GiB while they are read, "
            f"{free / 2**30:.1f} GiB are free; choose a smaller size, or import a file for each hospital"
        )


def _check_faults(source: Source, faults: tuple[tuple[str, str], ...], allowed: float) -> None:
    share = len(faults) / len(source.entries)
    if share == 1:
        name, reason = faults[0]
        raise DataError(
            f"{source.name}: none of its {len(faults)} images can be used, the first is {name}: {reason}. Nothing was "
            "written"
        )
    if share > allowed:
        listed = "\n".join(f"  {name}: {reason}" for name, reason in faults[:MOST_NAMED])
        listed += f"\n  and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise DataError(
            f"{source.name}: {len(faults)} of {len(source.entries)} images cannot be used:\n{listed}\nNothing was "
            "written. Mend or remove them, or allow a share of unreadable images: unreadable = "
            f"{np.ceil(share * 100) / 100}"
        )


def _colours(entries: Sequence[Entry], read: list[_Fitted], options: ImportOptions) -> list[str]:
    coloured = [entry.name for entry, one in zip(entries, read, strict=True) if one.coloured]
    first = f"{', '.join(coloured[:3])}{', ...' if len(coloured) > 3 else ''}"
    if options.colour != "auto":
        return [f"colour: {options.colour}, as asked; {len(coloured)} of {len(read)} images have colour"]
    if not coloured:
        return ["colour: grey, because no image has colour"]
    if len(coloured) == len(read):
        return ["colour: RGB, because all images have colour"]
    return [
        f'colour: RGB, because {len(coloured)} of {len(read)} images have colour ({first}); colour = "grey" makes all '
        "grey"
    ]


def _is_deep(one: _Fitted) -> bool:
    return one.peak > 0 or one.pixels.dtype != np.uint8


def _depths(read: list[_Fitted]) -> list[str]:
    deep = sum(map(_is_deep, read))
    if not deep:
        return []
    white = white_of(one.peak for one in read)
    return [
        f"{deep} images are deeper than 8 bits: 0 is black, {white:.0f} is white, in all of them; hospitals "
        f"that import by themselves set the same window, 0:{white:.0f}"
    ]


def _traits(read: list[_Fitted]) -> list[str]:
    found: dict[str, int] = {}
    for one in read:
        for trait in one.traits:
            found[trait] = found.get(trait, 0) + 1
    return [f"{count} of {len(read)}: {trait}" for trait, count in sorted(found.items())]


def _sizes(read: list[_Fitted], options: ImportOptions) -> list[str]:
    oblong = sum(one.padded for one in read)
    enlarged = sum(one.enlarged for one in read)
    how = "padded with black" if options.fit == "pad" else "cropped to their centre"
    said = (
        [f"aspect ratio kept: {oblong} of {len(read)} images are not square and were {how}"] if oblong else []
    )
    if enlarged:
        said.append(
            f"{enlarged} of {len(read)} images are smaller than {options.size} pixels and were enlarged"
        )
    return said
