"""Files that appear whole or not at all."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".fedrobust-writing-"
_TEMPORARY = re.compile(re.escape(_PREFIX) + r".+-[a-z0-9_]{8}(\.[^.]*)?", re.DOTALL)
"""The names that `atomic` gives, and nothing else: what is called so is not the user's."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to, then put it in its place: write, fsync, rename.

    If the block raises, `path` stays as it was and nothing is left behind. A process that is killed leaves the
    temporary file; `sweep` removes it.
    """
    handle, name = tempfile.mkstemp(prefix=f"{_PREFIX}{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Remove what killed processes left of files that they were writing, anywhere below `folder`.

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
