"""A folder of results belongs to one request: what was asked for, of which model, on which images."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fedrobust.atomic import cannot_write
from fedrobust.errors import FedrobustError
from fedrobust.paths import check_can_hold, expanded
from fedrobust.runs.folder import RunFolder

FILE = "request.json"
RESULTS = ("attack.json", "card.json")
MOST_FOLDERS = 1000


class OtherResultError(FedrobustError, ValueError):
    """A folder holds the results of another request."""


@contextmanager
def folder_for(
    request: Mapping[str, Any], out: str | Path, parent: Path, name: str, force: bool = False
) -> Iterator[Path]:
    """Give the folder for the results of a request, marked as its own, for the block that makes them.

    The same request finds its folder again, and goes on there. Results of another one are never replaced unless that
    is asked for. A block that fails before it left a file behind leaves no folder either.

    Args:
        request: everything that decides the results, as plain data.
        out: the folder that the user named; empty for one below `parent`.
        parent: where folders are made that the user does not name.
        name: of such a folder; a number follows where that one holds something else.
        force: replace what `out` holds.

    Raises:
        OtherResultError: `out` holds the results of another request.
        PathError, DiskError: it cannot be written.
    """
    folder = _named(request, out, force) if str(out) else _found(request, expanded(parent), name)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    is_new = not (folder / FILE).exists()
    if force and not _is_free(folder, request):
        for result in RESULTS:
            (folder / result).unlink(missing_ok=True)
    RunFolder(folder).write_json(FILE, request)
    try:
        yield folder
    except BaseException:
        if is_new and not _has_results(folder):
            (folder / FILE).unlink(missing_ok=True)
            _remove_empty([*folder.iterdir(), *missing])
        raise


def _named(request: Mapping[str, Any], out: str | Path, force: bool) -> Path:
    folder = expanded(out)
    check_can_hold(folder, "out")
    if not force and not _is_free(folder, request):
        raise OtherResultError(
            f"out = {str(out)!r}: the folder holds the results of something else ({_difference(folder, request)}); "
            "name another one, or say --force (force=True) to replace them"
        )
    return folder


def _found(request: Mapping[str, Any], parent: Path, name: str) -> Path:
    check_can_hold(parent, "the current folder; results are written below it, or below --out")
    for number in range(1, MOST_FOLDERS):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if _is_free(folder, request):
            return folder
    raise OtherResultError(f"{parent}: a thousand results named {name}; name a folder with --out")


def _has_results(folder: Path) -> bool:
    return any(path.is_file() and path.name != FILE for path in folder.rglob("*"))


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it holds something, or is no folder
            folder.rmdir()


def _is_free(folder: Path, request: Mapping[str, Any]) -> bool:
    """Return whether the results of `request` may be written into `folder`."""
    if not folder.is_dir():
        return not folder.exists()
    asked = _asked(folder)
    if asked is None:
        return not any((folder / result).exists() for result in RESULTS)
    return asked == _plain(request)


def _difference(folder: Path, request: Mapping[str, Any]) -> str:
    asked, now = _asked(folder), _plain(request)
    if not isinstance(asked, dict):
        return "it does not say of what"
    differing = [key for key in now if asked.get(key) != now[key]]
    return f"another {', '.join(differing)}" if differing else "of another version"


def _asked(folder: Path) -> Any:
    """Return what a folder's results were asked for by; None where it does not say so."""
    try:
        return json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return "cannot be read"


def _plain(request: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(request))
