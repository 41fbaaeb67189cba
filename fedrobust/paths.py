"""Paths as users give them."""

import difflib
import os
from pathlib import Path

from fedrobust.errors import FedrobustError

LONGEST_NAME = 255
"""Most bytes of a file's name on Linux."""


class PathError(FedrobustError, ValueError):
    """A path cannot be used; the message says why."""


def expanded(path: str | Path) -> Path:
    """Return a path as absolute, with ``~`` and links followed; it need not exist.

    Raises:
        PathError: there is no such user, links run in a circle, no file can have this name, or it is not UTF-8, in
            which run folders are written.
    """
    try:
        str(path).encode("utf-8")
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise PathError(f"{str(path)!r}: not a path that can be used: {_reason(error)}") from error


def absent(path: str | Path, what: str = "file or folder") -> str:
    """Return that there is nothing at `path`, and the nearest name beside it, to put into a message behind the path.

    Where a folder of the path is not there either, it is the nearest name beside the folder. The end of longer names
    does not count, such as the time of a run; of several that are as near, the last in alphabetical order is named.

    Args:
        path: at which there is nothing.
        what: it should be.

    Example:
        >>> absent("/ect/model.keras")
        'there is no folder /ect, did you mean "etc"?'
    """
    whole = Path(path).expanduser().absolute()
    missing = next(place for place in (whole, *whole.parents) if os.path.lexists(place.parent))
    try:
        beside = sorted(os.listdir(missing.parent))
    except OSError:
        beside = []
    begin = {name[: len(missing.name) + 1]: name for name in beside if name != missing.name}
    nearest = difflib.get_close_matches(missing.name, begin, n=1, cutoff=0.6)
    hint = f', did you mean "{begin[nearest[0]]}"?' if nearest else ""
    return f"there is no {f'such {what}' if missing == whole else f'folder {missing}'}{hint}"


def check_can_hold(folder: Path, setting: str) -> None:
    """Check that a folder can be written, without creating anything.

    Args:
        folder: absolute; need not exist.
        setting: what gave it, for the message.

    Raises:
        PathError: it is a file, lies below one, or may not be written.
    """
    if long := [part for part in folder.parts if len(os.fsencode(part)) > LONGEST_NAME]:
        raise PathError(
            f"{setting} = {str(folder)[:80] + '...'!r}: a name of {len(os.fsencode(long[0]))} bytes; "
            f"{LONGEST_NAME} are the most"
        )
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise PathError(f"{setting} = {str(folder)!r}: {there} is a file; name a folder, new or existing")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PathError(
            f"{setting} = {str(folder)!r}: nothing can be written in {there}; name another folder"
        )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
