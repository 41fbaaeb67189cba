"""Files that a command writes to a path set by the user."""

from pathlib import Path

from fedrobust.atomic import atomic
from fedrobust.paths import PathError, check_can_hold, expanded


def check_new_file(path: Path, setting: str, force: bool = False) -> None:
    """Check that a file can be written, and does not exist unless it may be replaced.

    Raises:
        PathError: it exists, or its folder does not.
    """
    file = expanded(path)
    if file.is_dir() or (file.exists() and not force):
        raise PathError(f"{setting} = {str(path)!r}: exists already; name another file")
    if not file.parent.is_dir():
        raise PathError(f"{setting} = {str(path)!r}: there is no folder {file.parent}; make it first")
    check_can_hold(file.parent, setting)


def write_new_file(path: Path, text: str) -> None:
    """Write a file atomically.

    Raises:
        DiskError: it cannot be written.
    """
    with atomic(expanded(path)) as draft:
        draft.write_text(text, encoding="utf-8")
