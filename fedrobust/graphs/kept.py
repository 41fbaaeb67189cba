"""Files that can be made again: named by what they depend on, with a digest over their bytes, for their owner alone."""

import hashlib
import os
import stat
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedrobust.atomic import DiskError, atomic
from fedrobust.cache_root import cache_root
from fedrobust.runtime import is_own_process

SWITCH = "FEDROBUST_GRAPH_CACHE"
"""Environment variable: "off" keeps and reads nothing, "on" does in a notebook's or a script's process, too."""

MOST_BYTES = 2**30
"""Of all files together; the least recently used go first."""


class KeptFilesNotice(UserWarning):
    """Kept files cannot be used: what they would save is computed again."""


@dataclass(frozen=True)
class KeptFiles:
    """A folder of byte strings by name.

    The folder belongs to the user who runs the process, and nobody else can write to it: a graph that is read is run.

    Attributes:
        folder: where they are.
        most_bytes: of all of them together.

    Example:
        >>> import tempfile
        >>> files = KeptFiles(Path(tempfile.mkdtemp()) / "graphs")
        >>> files.write("update", b"a graph")
        >>> files.read("update"), files.read("gradient")
        (b'a graph', None)
    """

    folder: Path
    most_bytes: int = MOST_BYTES

    def read(self, name: str) -> bytes | None:
        """Return what was written as `name`; None where there is nothing, or not what was written.

        Warns:
            KeptFilesNotice: the file is damaged and was removed, or the folder is not this user's alone.
        """
        path = self.folder / name
        try:
            self._check()
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.tell(f"{error}; it is not read")
            return None
        digest, body = content[:32], content[32:]
        if hashlib.sha256(body).digest() != digest:
            self.forget(name, "it is damaged")
            return None
        with suppress(OSError):
            os.utime(path)
        return body

    def write(self, name: str, body: bytes) -> None:
        """Keep `body` as `name`, whole or not at all.

        Warns:
            KeptFilesNotice: it cannot be written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check()
            self._make_room(len(body) + 32)
            with atomic(self.folder / name, mode=0o600) as draft:
                draft.write_bytes(hashlib.sha256(body).digest() + body)
        except (OSError, DiskError) as error:
            self.tell(f"nothing is kept there: {error}")

    def forget(self, name: str, why: str) -> None:
        """Remove the file `name` and say why."""
        with suppress(OSError):
            (self.folder / name).unlink()
        self.tell(f"{name[:16]} is made anew: {why}")

    def tell(self, what: str) -> None:
        """Say what is wrong with the folder."""
        warnings.warn(
            f"{self.folder}: {what} (FEDROBUST_CACHE names another folder, {SWITCH}=off uses none)",
            KeptFilesNotice,
            stacklevel=3,
        )

    def _check(self) -> None:
        """Raise a PermissionError where others own the folder or may write to it."""
        if not hasattr(os, "getuid"):  # Windows, whose folders below a home are its user's
            return
        found = self.folder.stat()
        if found.st_uid != os.getuid():
            raise PermissionError(f"the folder belongs to user {found.st_uid}")
        if stat.S_IMODE(found.st_mode) & 0o022:
            raise PermissionError(f"others may write to the folder: chmod 700 {self.folder}")

    def _make_room(self, wanted: int) -> None:
        """Remove what was not used for longest until `wanted` bytes fit."""
        files = []
        for path in self.folder.iterdir():
            with suppress(OSError):  # another process may remove it
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in files) + wanted
        for _, size, path in sorted(files):
            if total <= self.most_bytes:
                break
            with suppress(OSError):
                path.unlink()
            total -= size


def kept_files() -> KeptFiles | None:
    """Return this user's kept graphs; None where none are to be used.

    By itself it is a process of this project that uses them: elsewhere, code that changes this project's functions
    while it runs would not be seen in graphs of before.
    """
    switch = os.environ.get(SWITCH, "").lower()
    wanted = switch != "off" and (switch == "on" or is_own_process())
    return KeptFiles(cache_root() / "graphs") if wanted else None
