"""Write files atomically."""

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedrobust.errors import FedrobustError

_PREFIX = ".fedrobust-writing-"
_TEMPORARY = re.compile(re.escape(_PREFIX) + r".+-[a-z0-9_]{8}(\.[^.]*)?", re.DOTALL)
"""Pattern of the names of temporary files."""

DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
"""Error numbers of a full, read-only or broken disk, or an exceeded quota."""


class DiskError(FedrobustError, RuntimeError, OSError):
    """A file cannot be written; the message has its path, the reason and the remedy."""


@contextmanager
def atomic(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to, then replace `path` by it: write, fsync, rename, fsync.

    What was written is there after a power failure, too: both the file and the entry of its folder are synchronised.
    If the block raises, `path` stays as it was and nothing is left behind. A process that is killed leaves the
    temporary file, which it has locked: the next that writes `path` removes it, and so does `sweep`.

    Args:
        path: of the file.
        mode: its permissions.

    Raises:
        DiskError: the disk is full, read-only or broken, or the folder cannot be written.
    """
    with disk_faults_told(path):
        _remove_abandoned(path)
        handle, temporary = _locked(path)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
            _synchronise(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def sweep(folder: Path) -> int:
    """Remove temporary files of killed processes anywhere below `folder`.

    Only for a folder in which nobody is writing. Nothing but regular files with the names that `atomic` gives is
    touched, and no link is followed.

    Returns:
        How many files were removed.
    """
    removed = 0
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if _TEMPORARY.fullmatch(name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)
                removed += 1
    return removed


@contextmanager
def disk_faults_told(path: Path) -> Iterator[None]:
    """Convert errors of the disk to a `DiskError` that names the file; others are raised unchanged.

    Raises:
        DiskError: the disk is full, read-only or broken.
    """
    try:
        yield
    except DiskError:
        raise
    except Exception as error:  # writers of archives wrap the system's error
        fault = _fault(error)
        if fault is None:
            raise
        raise cannot_write(path, fault) from error


def cannot_write(path: Path, error: OSError) -> DiskError:
    """Return the `DiskError` for `path`."""
    told = DiskError(
        f"{path}: cannot be written: {error.strerror or error}; make room, or choose a folder that can be written"
    )
    told.strerror = error.strerror
    return told


def _synchronise(folder: Path) -> None:
    """Let the names in `folder` survive a power failure, where the system can open folders and synchronise them."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in DISK:
            raise
    finally:
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of `path` that no process holds; a file system without locks keeps them."""
    prefix, suffix = _prefix(path), _suffix(path)
    # Of a longer stem's name more is left between the two.
    length = len(prefix) + 8 + len(suffix)
    with suppress(OSError):  # a folder that is missing or cannot be read: writing tells
        for name in os.listdir(path.parent):
            # No pattern of its own: every path would stay in the cache of patterns.
            if len(name) != length or not (name.startswith(prefix) and name.endswith(suffix)):
                continue
            found = path.parent / name
            with suppress(OSError):
                handle = os.open(found, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    found.unlink(missing_ok=True)
                finally:
                    os.close(handle)


def _locked(path: Path) -> tuple[int, Path]:
    """Make a temporary file for `path`, and return a handle that holds its lock, and its path."""
    while True:
        handle, name = _temporary(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue  # another process took it for abandoned before it was locked
        except OSError:
            return handle, Path(name)  # a file system without locks
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)


def _temporary(path: Path) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(prefix=_prefix(path), suffix=_suffix(path), dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def _prefix(path: Path) -> str:
    # Long names are truncated, because the temporary file's name is longer.
    return f"{_PREFIX}{path.stem[:40] or 'file'}-"


def _suffix(path: Path) -> str:
    return path.suffix if len(path.suffix) <= 20 else ""


def _fault(error: BaseException | None) -> OSError | None:
    """Return the disk's error among the causes of `error`, None if there is none."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in DISK:
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
