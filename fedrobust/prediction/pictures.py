"""Read single images for a model: files, folders and arrays, brought to its size and colours as by an import."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedrobust.data.archive import DAMAGE
from fedrobust.data.conversion import Conversion, windowed
from fedrobust.data.dataset import DataError
from fedrobust.data.importing.collect import COLOURED
from fedrobust.data.importing.decode import decode, of_array, of_pillow
from fedrobust.data.importing.entry import ImageError, Picture
from fedrobust.data.importing.fit import fitted
from fedrobust.data.importing.folder import is_image
from fedrobust.paths import expanded

SPLITS = {"test": "test", "validation": "val", "train": "train"}
"""The prefix of each split in an ``.npz`` file."""

Window = tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class ListedImage:
    """An image that is not decoded yet.

    Attributes:
        name: path of its file, or its place.
        read: decodes it, in a window if there is one; raises an `ImageError`.
    """

    name: str
    read: Callable[[Window], Picture]


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image as the model takes it.

    Attributes:
        name: path of its file, or its place.
        pixels: uint8 (height, width, channels).
        changes: what was done to it, a phrase each; empty: nothing.
    """

    name: str
    pixels: NDArray[np.uint8]
    changes: tuple[str, ...]


def listed(images: Iterable[Any], split: str) -> list[ListedImage]:
    """List images; nothing is decoded yet.

    Args:
        images: paths of image files, folders and ``.npz`` files, arrays of one image, or images of Pillow.
        split: of ``.npz`` files.

    Raises:
        DataError: a path does not exist, or there is no image.
    """
    found = [entry for place, each in enumerate(images) for entry in _entries(each, place, split)]
    if not found:
        raise DataError("images: none given; allowed: image files, folders of them, .npz files, or arrays")
    return found


def prepared(
    entries: Sequence[ListedImage], shape: Sequence[int], conversion: Conversion, unreadable: list[str]
) -> Iterator[tuple[int, PreparedImage]]:
    """Decode images, bring them to a model's size and colours, and yield each with its place among `entries`.

    Args:
        entries: the images.
        shape: (height, width, channels) that the model takes; height and width are equal.
        conversion: of the model's images, or as asked; images are padded where it is not known.
        unreadable: gets a sentence on each image that cannot be read, which is left out.
    """
    for place, entry in enumerate(entries):
        try:
            yield place, _prepared(entry, shape, conversion)
        except ImageError as error:
            unreadable.append(f"{entry.name}: {error}")


def _prepared(entry: ListedImage, shape: Sequence[int], conversion: Conversion) -> PreparedImage:
    picture, fit = entry.read(conversion.window), conversion.fit or "pad"
    pixels, changes = picture.pixels, list(picture.traits)
    shown = conversion.shown if picture.is_deep else None
    if shown:
        changes.append(f"shown from {shown[0]:g} to {shown[1]:g}, as the model's images")
    elif picture.is_deep:
        # A white that is guessed from the images at hand is not that of the import, and differs from call to call.
        raise ImageError(
            f"deeper than 8 bits, values up to {float(pixels.max()):.0f}: name those that are black and white in the "
            "data of the model, as data import told them, such as --window 0:4095 (in Python window=(0, 4095))"
        )
    size, channels = shape[0], shape[2]
    if pixels.ndim == 3 and channels == 1:
        spread = int((pixels.max(axis=2).astype(int) - pixels.min(axis=2)).max())
        changes += ["colours made grey"] if spread >= COLOURED else []
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    height, width = pixels.shape[:2]
    if (height, width) != (size, size):
        how = "" if height == width else ", padded with black" if fit == "pad" else ", cropped to its centre"
        changes.append(f"{width} x {height} resized to {size} x {size}{how}")
        pixels = fitted(pixels, size, fit)
    if shown:
        pixels = windowed(pixels, shown)  # after resampling, as an import does where no window is named
    if pixels.ndim == 2:
        changes += ["grey copied to three colours"] if channels == 3 else []
        pixels = np.repeat(pixels[..., None], channels, axis=2)
    return PreparedImage(entry.name, pixels, tuple(changes))


def _entries(given: Any, place: int, split: str) -> Iterator[ListedImage]:
    name = f"image {place}"
    if isinstance(given, np.ndarray):
        yield ListedImage(name, partial(of_array, given))
    elif isinstance(given, Image.Image):
        yield ListedImage(name, partial(of_pillow, given))
    elif not isinstance(given, str | Path):
        raise DataError(f"{name} is {type(given).__name__}; allowed: a path, an array, or an image of Pillow")
    else:
        yield from _of_path(str(given), split)


def _of_path(given: str, split: str) -> Iterator[ListedImage]:
    path = expanded(given)
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file() and is_image(each))
        if not files:
            raise DataError(f"{given}: no image in this folder")
        for each in files:
            name = Path(given, each.relative_to(path)).as_posix()
            yield ListedImage(name, partial(decode, each))
    elif not path.exists():
        raise DataError(f"{given}: no such file")
    elif path.suffix.lower() == ".npz":
        yield from _of_npz(path, given, split)
    else:
        yield ListedImage(given, partial(decode, path))


def _of_npz(path: Path, given: str, split: str) -> Iterator[ListedImage]:
    """List the images of one split of a data set's file."""
    if split not in SPLITS:
        raise DataError(f"split = {split!r}; allowed: {', '.join(SPLITS)}")
    key = f"{SPLITS[split]}_images"
    try:
        with np.load(path, allow_pickle=False) as file:
            if key not in file:
                raise DataError(f"{given}: no {key} in it; it holds {', '.join(file.files) or 'nothing'}")
            images = file[key]
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"{given}: cannot be read as .npz: {error}") from error
    for number, image in enumerate(images):
        yield ListedImage(f"{given} {split} {number}", partial(of_array, image))
