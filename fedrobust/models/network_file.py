"""Networks that are named by a Keras file: whether a name is one, where the file is, and its digest."""

import hashlib
import os
import re
from pathlib import Path

from fedrobust.data.search_path import resolve
from fedrobust.memoize import memoize

ENDINGS = (".keras", ".h5", ".hdf5")
"""Ends of the names of files that hold a network."""

DIGITS = 16
"""Hexadecimal digits of a file's SHA-256 in a pinned name."""

_PINNED = re.compile(rf"(?P<path>.+)#(?P<digest>[0-9a-f]{{{DIGITS}}})", re.DOTALL)


def is_network_file(name: str) -> bool:
    """Return whether a study's name of a network is that of a file.

    Example:
        >>> [is_network_file(name) for name in ("mine.keras", "edge-cnn", "keras:EfficientNetV2B0", "own:build")]
        [True, False, False, False]
    """
    return _path(name).lower().endswith(ENDINGS)


def pinned(name: str, base: Path | None = None, root: str | Path = "") -> str:
    """Return the name of a network with path and digest of its file; other names as they are.

    What is remembered by a network's name is then remembered by the content of its file.

    Args:
        name: as the study writes it; a relative path is searched as that of images, see `resolve`.
        base: the study file's folder.
        root: the setting `data.root`.

    Raises:
        DataError: there is no such file.

    Example:
        >>> pinned("edge-cnn(width=16)")
        'edge-cnn(width=16)'
    """
    if not is_network_file(name) or _PINNED.fullmatch(name):
        return name
    path = os.path.abspath(resolve(name, base, root))
    return f"{path}#{file_digest(Path(path))[:DIGITS]}"


def pinned_parts(name: str) -> tuple[Path, str]:
    """Return path and digest of a pinned name; the digest is empty where the name has none.

    Example:
        >>> pinned_parts("/srv/mine.keras#0123456789abcdef")
        (PosixPath('/srv/mine.keras'), '0123456789abcdef')
    """
    found = _PINNED.fullmatch(name)
    return Path(_path(name)), found["digest"] if found else ""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex.

    Raises:
        OSError: it cannot be read.
    """
    about = path.stat()
    return _digest(path, about.st_size, about.st_mtime_ns)


@memoize(keep=8)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _path(name: str) -> str:
    found = _PINNED.fullmatch(name)
    return found["path"] if found else name
