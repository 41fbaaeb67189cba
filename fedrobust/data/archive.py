"""Types, shapes and sizes of an `.npz` file's arrays, read from its headers before anything is unpacked."""

import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.lib import format as npy

from fedrobust.data.dataset import DataError

DAMAGE = (
    OSError,  # bzip2 and the disk
    EOFError,
    RuntimeError,  # encrypted, or an unknown compression method
    ValueError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,  # a header of unbalanced brackets
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RecursionError,
)
"""Exceptions of zipfile and NumPy for truncated, damaged or crafted files."""

MOST_UNPACKED = 2**30
MOST_RATIO = 100
"""Images are compressed to a hundredth of their size at best. A file that unpacks to more than this many times its size
and to more bytes than the first number is refused before it fills the disk."""

LONGEST_HEADER = 2**16


@dataclass(frozen=True)
class Declared:
    """An array as its header declares it.

    Attributes:
        shape: of the array.
        dtype: of its items.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """Its memory in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def declared(path: Path, keys: Iterable[str]) -> dict[str, Declared]:
    """Return the declared shapes and types of a file's arrays; missing arrays are left out.

    Args:
        path: an `.npz` file.
        keys: names of arrays.

    Raises:
        DataError: the file is damaged, would unpack to far more than images can, or holds pickled objects.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            # As in NumPy's own archives, a member's name may lack the extension.
            named = {key: members.get(f"{key}.npy", members.get(key)) for key in keys}
            wanted = {key: member for key, member in named.items() if member is not None}
            check_sizes(path, list(wanted.values()))
            for key, member in wanted.items():
                found[key] = header(path, key, archive, member)
    except DataError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from error
    return found


def check_sizes(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse members that unpack to far more bytes than images can.

    Raises:
        DataError: they do.
    """
    members = list(members)
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if total > MOST_UNPACKED and total > MOST_RATIO * packed:
        raise DataError(
            f"{path}: {packed:,} bytes that unpack to {total:,}, {total // max(packed, 1)} times as many; allowed: "
            f"{MOST_RATIO} times, more than images reach. If the file is right, save it with numpy.savez, without "
            "compression"
        )


def header(path: Path, key: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Declared:
    """Return the declared shape and type of one array, without reading the array.

    Raises:
        DataError: it holds pickled objects, or its shape contradicts its size.
    """
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read: Any = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"a header of version {version}")
        shape, _, dtype = read(file, max_header_size=LONGEST_HEADER)
        if dtype.hasobject:
            raise DataError(
                f"{path}: {key} holds pickled objects; allowed: plain integer arrays. Pickles could run "
                "code and are never loaded; save numbers of one shape"
            )
        about = Declared(tuple(int(side) for side in shape), dtype)
        if about.bytes != member.file_size - file.tell():
            raise DataError(
                f"{path}: {key} declares shape {about.shape} of {dtype}, {about.bytes:,} bytes, and has "
                f"{member.file_size - file.tell():,}: truncated or damaged; fetch or save it again"
            )
    return about


def check_memory(path: Path, arrays: Mapping[str, Declared]) -> None:
    """Refuse arrays that together do not fit into memory.

    Raises:
        DataError: they do not.
    """
    needed, free = sum(each.bytes for each in arrays.values()), psutil.virtual_memory().available
    if needed > free:
        raise DataError(
            f"{path}: its images take {needed:,} bytes, {free:,} are free: make the images or their number smaller, or "
            "set FEDROBUST_CACHE to a folder with room, from which they are mapped"
        )


def damaged(path: Path, error: BaseException) -> DataError:
    """Return the error for a damaged file."""
    return DataError(
        f"{path}: truncated or damaged ({str(error) or type(error).__name__}); fetch or save it again"
    )
