"""Temporary folders that the next start removes where a process was killed."""

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_alone = threading.Lock()


@contextmanager
def temporary_folder(prefix: str, where: Path | None = None) -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it after the block.

    As long as its process lives, it holds a lock on the folder: those of killed processes, which are free, are removed
    when the next one with the same prefix is made.

    Args:
        prefix: of the folder's name, the same in every process.
        where: the folder in which it is made; by default that of the system.

    Example:
        >>> with temporary_folder("fedrobust-example-") as folder:
        ...     written = (folder / "draft").write_text("x")
        >>> folder.exists()
        False
    """
    root = Path(tempfile.gettempdir()) if where is None else where
    remove_abandoned(prefix, root)
    lock: int | None = None
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        try:
            lock = _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process took it for abandoned before it was locked
        except OSError:
            break  # a file system without locks
        if folder.exists():
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def temporary_files_in(prefix: str) -> Iterator[None]:
    """Let what libraries write to the folder for temporary files lie in a `temporary_folder` during the block.

    Keras and LiteRT's converter make folders there, which stay where the process is killed. One block at a time is in a
    process; others wait.

    Args:
        prefix: of the folder's name.

    Example:
        >>> with temporary_files_in("fedrobust-example-"):
        ...     kept = Path(tempfile.mkdtemp())
        >>> kept.exists()
        False
    """
    with temporary_folder(prefix) as folder, _alone:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before


def remove_abandoned(prefix: str, root: Path) -> int:
    """Remove this user's folders in `root` with names of a prefix that no process holds; return how many."""
    removed = 0
    for folder in root.glob(f"{prefix}????????"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        with suppress(OSError):
            if folder.stat().st_uid == os.getuid():
                lock = _lock(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                removed += 1
    return removed


def _lock(folder: Path) -> int:
    """Return a handle that holds the lock of a folder.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the folder is gone, or its file system has no locks.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
