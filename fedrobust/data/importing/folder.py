"""Images of a folder: a folder a class, below folders of splits or hospitals if there are any."""

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from fedrobust.data.dataset import DataError
from fedrobust.data.importing.decode import decode
from fedrobust.data.importing.dicom import is_dicom
from fedrobust.data.importing.entry import SPLIT_NAMES, Entry, Source
from fedrobust.data.importing.levels import levels_told


def of_folder(
    folder: Path,
    *,
    sites: bool = False,
    patient: str = "",
    window: tuple[float, float] | None = None,
) -> Source:
    """List the images below a folder; nothing is decoded yet.

    The folder holds a folder a class, in which images may lie at any depth. Where all its folders are called train,
    val or test (or training, valid, validation, testing), they hold the classes.

    Args:
        folder: the folder.
        sites: the first level are the hospitals, each with classes, or with splits of classes.
        patient: regular expression, searched in an image's path relative to `folder`; its first group is the patient.
        window: see `decode`.

    Raises:
        DataError: there is no such folder, no class or no image in it, splits stand where `sites` says hospitals, or
            `patient` does not match an image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    _check_hospitals(folder, sites)
    entries: list[Entry] = []
    below: dict[str, frozenset[str]] = {}
    has_splits = False
    others: list[str] = []
    loose: list[str] = []
    for site, place in [(each.name, each) for each in _folders(folder)] if sites else [("", folder)]:
        for split, classes in _splits(place):
            has_splits |= bool(split)
            loose += [
                path.relative_to(folder).as_posix() for path in sorted(classes.iterdir()) if _is_loose(path)
            ]
            for each in _classes(classes, sites or bool(split)):
                below[each.name] = below.get(each.name, frozenset()) | {one.name for one in _folders(each)}
                for path in _files(each):
                    name = path.relative_to(folder).as_posix()
                    if is_image(path):
                        read = partial(decode, path, window)
                        who = patient_of(patient, name)
                        entries.append(Entry(name, each.name, read, site, who, split))
                    else:
                        others.append(name)
    if not entries:
        raise DataError(
            f"{folder}: no image in it; allowed: a folder of images for each class{_levels(folder)}"
        )
    remarks = (
        *left_out(others, "no image by its extension"),
        *left_out(loose, "beside the folders of classes"),
        *levels_told(below, sites=sites, splits=has_splits),
    )
    return Source(str(folder), tuple(entries), remarks)


def is_image(path: Path) -> bool:
    """Return whether a file is to be decoded: by its extension, or as DICOM without one."""
    Image.init()
    suffix = path.suffix.lower()
    if suffix in Image.EXTENSION:
        return Image.EXTENSION[suffix] in Image.OPEN
    try:
        return is_dicom(path)
    except OSError:
        return False


def patient_of(pattern: str, name: str) -> str:
    r"""Return the patient in the name of an image: the first group of a regular expression.

    Raises:
        DataError: the expression is none, has no group, or does not match.

    Example:
        >>> patient_of(r"(\d+)_", "ill/0007_2.png")
        '0007'
    """
    if not pattern:
        return ""
    try:
        found = re.search(pattern, name)
        if found is not None and found[1]:
            return found[1]
    except (re.error, IndexError) as error:
        raise DataError(
            f"patient = {pattern!r}: {error}; allowed: a regular expression with a group, such as '([0-9]+)_'"
        ) from error
    raise DataError(
        f"patient = {pattern!r}: not in {name}; allowed: a regular expression whose group is the patient in every "
        "image's path"
    )


def left_out(names: list[str], why: str) -> tuple[str, ...]:
    """Return a remark on files that are left out; none if there are none.

    Example:
        >>> left_out(["a/notes.txt"], "no image by its extension")
        ('1 file left out, no image by its extension: a/notes.txt',)
    """
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    return (f"{files} left out, {why}: {', '.join(names[:3])}{more}",)


def _is_loose(path: Path) -> bool:
    """Return whether a path is an image that lies where folders of classes are expected."""
    return path.is_file() and not path.name.startswith(".") and is_image(path)


def _folders(folder: Path) -> list[Path]:
    return sorted(
        each for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__"))
    )


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in order, without hidden ones and those that file managers leave."""
    for where, inner, names in os.walk(folder, onerror=_raise):
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")))
        yield from (
            Path(where, name)
            for name in sorted(names)
            if not name.startswith(".") and name.lower() not in ("thumbs.db", "desktop.ini")
        )


def _raise(error: OSError) -> None:
    """Raise the error of a folder that cannot be read, which `os.walk` would pass over."""
    raise error


def _check_hospitals(folder: Path, sites: bool) -> None:
    """Refuse splits in the place of hospitals."""
    names = [each.name for each in _folders(folder)] if sites else []
    if names and all(name.lower() in SPLIT_NAMES for name in names):
        raise DataError(
            f"{folder}: with --sites its folders are hospitals, and they are called {', '.join(names)}; allowed: "
            "HOSPITAL/CLASS or HOSPITAL/train/CLASS; leave --sites out if they are splits"
        )


def _splits(folder: Path) -> list[tuple[str, Path]]:
    """Return the folders that hold classes, with their split; the folder itself where it has no folders of splits."""
    inner = _folders(folder)
    named = [each for each in inner if each.name.lower() in SPLIT_NAMES]
    if not named:
        return [("", folder)]
    if len(named) < len(inner):
        strangers = [each.name for each in inner if each not in named]
        raise DataError(
            f"{folder}: folders of splits ({', '.join(each.name for each in named)}) beside others "
            f"({', '.join(strangers[:3])}); allowed: only train, val and test, or only classes"
        )
    return [(SPLIT_NAMES[each.name.lower()], each) for each in named]


def _classes(folder: Path, deep: bool) -> list[Path]:
    found = _folders(folder)
    if not found:
        what = "" if deep else "; for a table of images and labels name a .csv file"
        raise DataError(f"{folder}: no folders in it; allowed: a folder of images for each class{what}")
    return found


def _levels(folder: Path) -> str:
    inner = [each.name for each in _folders(folder)]
    return f"; found the folders {', '.join(inner[:5])}" if inner else ""
