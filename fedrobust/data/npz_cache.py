"""A cache of large data files, unpacked once on disk and memory-mapped, so that processes share their images.

The members of an `.npz` file are `.npy` files in a zip. Those of a large file are extracted into a cache folder, as a
stream, and mapped into memory: a process loads only the images that it reads, and processes on one machine share
them. Facts about the file, such as its checksum, are stored beside them.
"""

import hashlib
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.atomic import atomic
from fedrobust.cache_root import cache_root
from fedrobust.data.dataset import DataError
from fedrobust.temporary import temporary_folder

LARGE = 32 * 2**20
"""Bytes from which arrays are mapped; smaller ones are cheaper to copy in each process."""


class CacheNotice(UserWarning):
    """The cache folder cannot be used: each process holds a copy of the images."""


def is_large(path: Path) -> bool:
    """Return whether a zip file has at least `LARGE` bytes unpacked."""
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist()) >= LARGE


@dataclass(frozen=True)
class Unpacked:
    """Arrays as files in a folder, mapped on access.

    Attributes:
        folder: holds ``name.npy`` for each.
    """

    folder: Path

    def __getitem__(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return array


def unpacked(path: Path, names: Sequence[str]) -> Unpacked | None:
    """Return the arrays of a large `.npz` file in the cache.

    Returns None with a warning where the cache cannot be written, and None where an array is not a `.npy` member.

    Args:
        path: the file.
        names: of the arrays.

    Raises:
        zipfile.BadZipFile, zlib.error: an array is damaged.

    Warns:
        CacheNotice: the cache cannot be written.
    """
    folder = cache_folder(path)
    # Opened once: if the file is replaced meanwhile, images and labels must come from the same version.
    with zipfile.ZipFile(path) as archive:
        listed = {member.filename: member for member in archive.infolist()}
        members = [listed[f"{name}.npy"] for name in names if f"{name}.npy" in listed]
        if len(members) < len(names):
            return None
        try:
            if not _is_whole(folder, members):
                _unpack(archive, members, folder)
        except OSError as error:
            _warn(folder.parent, error)
            return None
    return Unpacked(folder)


def remembered(path: Path, what: str, find_out: Callable[[], str], place: Path | None = None) -> str:
    """Return a stored fact about a large file; compute and store it if it is not known.

    Args:
        path: the file; facts about small files are not stored.
        what: name of the fact, such as "md5".
        find_out: computes the fact.
        place: the file's `cache_folder` at the time it was read, if `find_out` uses the data read then: the file may
            have been replaced since. None: that of the present file.
    """
    try:
        large = is_large(path)
    except (
        OSError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
    ):  # not an archive, or a damaged one
        large = False
    if not large:
        return _told(path, find_out)
    place = place or cache_folder(path)
    # Not with_suffix: the folder's name may contain dots, and the part after the last one is its version.
    note = place.parent / f"{place.name}.{what}"
    try:
        return note.read_text(encoding="utf-8")
    except OSError:
        found = _told(path, find_out)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with atomic(note) as draft:
            draft.write_text(found, encoding="utf-8")
    except OSError as error:
        _warn(note.parent, error)
    return found


def _told(path: Path, find_out: Callable[[], str]) -> str:
    try:
        return find_out()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def cache_folder(path: Path) -> Path:
    """Return the folder into which a file is unpacked, which differs for every version of it.

    Raises:
        DataError: there is no such file.
    """
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    version = f"{path.resolve()}\0{about.st_size}\0{about.st_mtime_ns}"
    return cache_root() / f"{path.stem}-{hashlib.sha256(version.encode()).hexdigest()[:24]}"


def _is_whole(folder: Path, members: Sequence[zipfile.ZipInfo]) -> bool:
    """Return whether a folder has every member in full length: a cache may have been tidied by hand or be truncated."""
    files = [(folder / member.filename, member.file_size) for member in members]
    return all(file.is_file() and file.stat().st_size == size for file, size in files)


def _unpack(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(".unpacking-", folder.parent) as temporary:
        for member in members:
            _extract(archive, member, temporary)
        # Only its owner may read a temporary folder; a cache may be shared by users.
        temporary.chmod(0o755)
        _take_place(temporary, folder, members)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    with archive.open(member) as packed, (folder / member.filename).open("wb") as file:
        shutil.copyfileobj(packed, file, 2**20)
        file.flush()
        os.fsync(file.fileno())


def _take_place(temporary: Path, folder: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Rename the unpacked files to their final place, unless another process was first, with the same content."""
    if folder.is_dir() and not _is_whole(folder, members):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        temporary.rename(folder)
    except OSError:
        if not _is_whole(folder, members):
            raise


def _warn(root: Path, error: OSError) -> None:
    warnings.warn(
        f"{root}: large data cannot be unpacked there ({error.strerror or error}); every process holds it in memory. "
        "Set FEDROBUST_CACHE to a folder with room",
        CacheNotice,
        stacklevel=3,
    )
