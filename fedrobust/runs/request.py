"""Folders of results, each for one request: the settings, the model and the images."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fedrobust.atomic import cannot_write
from fedrobust.errors import FedrobustError
from fedrobust.paths import check_can_hold, expanded
from fedrobust.runs.folder import RunFolder

FILE = "request.json"
RESULTS = ("attack.json", "card.json", "export.json")
PAGES = ("card.html", "export.html")
"""Pages of results."""

BESIDE = ("labels.txt", "classify.py")
"""What is written beside exported files, and would be taken for that of the next ones."""
MOST_FOLDERS = 1000


class OtherResultError(FedrobustError, ValueError):
    """A folder has the results of another request."""


@contextmanager
def folder_for(
    request: Mapping[str, Any],
    out: str | Path,
    parent: Path,
    name: str,
    force: bool = False,
    writes: Sequence[str] = (),
) -> Iterator[Path]:
    """Yield the folder for the results of a request, which is recorded in it.

    The same request gets its folder again, and is resumed there. Results of another request are replaced only with
    `force`. If the block fails before it wrote a file, the folder is removed.

    Args:
        request: everything that determines the results, as plain data.
        out: the folder set by the user; empty: a folder below `parent`.
        parent: for folders that the user does not set.
        name: of such a folder; a number is appended if that one has other results.
        force: replace other results in `out`.
        writes: names of the files that the block writes beside its result: none of them may be the user's own.

    Raises:
        OtherResultError: `out` has the results of another request, or files of these names that are of none.
        PathError, DiskError: it cannot be written.
    """
    folder = (
        _named(request, out, force, writes) if str(out) else _found(request, expanded(parent), name, writes)
    )
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    is_new = not (folder / FILE).exists()
    if force and not _is_free(folder, request):
        for result in (*_exported(folder), *RESULTS, *PAGES):
            (folder / result).unlink(missing_ok=True)
    RunFolder(folder).write_json(FILE, request)
    try:
        yield folder
    except BaseException:
        if is_new and not _has_results(folder):
            (folder / FILE).unlink(missing_ok=True)
            _remove_empty([*folder.iterdir(), *missing])
        raise


def _named(request: Mapping[str, Any], out: str | Path, force: bool, writes: Sequence[str]) -> Path:
    folder = expanded(out)
    check_can_hold(folder, "out")
    if not force and (own := _of_nobody(folder, writes)):
        raise OtherResultError(
            f"out = {str(out)!r}: the folder has {', '.join(own)}, which would be replaced; name another one, or say "
            "--force (force=True) to replace them"
        )
    if not force and not _is_free(folder, request):
        raise OtherResultError(
            f"out = {str(out)!r}: the folder holds the results of something else ({_difference(folder, request)}); "
            "name another one, or say --force (force=True) to replace them"
        )
    return folder


def _found(request: Mapping[str, Any], parent: Path, name: str, writes: Sequence[str]) -> Path:
    check_can_hold(parent, "the current folder; results are written below it, or below --out")
    for number in range(1, MOST_FOLDERS):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if _is_free(folder, request) and not _of_nobody(folder, writes):
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


def _of_nobody(folder: Path, writes: Sequence[str]) -> list[str]:
    """Return which files would be replaced that are no result of a request."""
    return [] if _asked(folder) is not None else [name for name in writes if (folder / name).exists()]


def _exported(folder: Path) -> list[str]:
    """Return the names of a folder's exported files, and of what is written beside them.

    A finished export lists its files. One that was interrupted has its request, which names their formats.
    """
    try:
        found = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = {"files": [{"file": name} for name in _begun(folder)]}
    except (OSError, ValueError, RecursionError):
        return []
    listed = found.get("files") if isinstance(found, dict) else None
    names = [each.get("file") for each in listed or () if isinstance(each, dict)]
    files = [name for name in names if isinstance(name, str) and name and Path(name).name == name]
    return [*files, *BESIDE] if files else []


def _begun(folder: Path) -> list[str]:
    asked = _asked(folder)
    formats = asked.get("formats") if isinstance(asked, dict) else None
    names = [form for form in formats or () if isinstance(form, str) and form.isalnum()]
    patterns = ["*.onnx" if form == "onnx" else f"*.{form}.tflite" for form in names]
    return [path.name for pattern in patterns for path in folder.glob(pattern)]


def _difference(folder: Path, request: Mapping[str, Any]) -> str:
    asked, now = _asked(folder), _plain(request)
    if not isinstance(asked, dict):
        return "it does not say of what"
    differing = [key for key in now if asked.get(key) != now[key]]
    return f"another {', '.join(differing)}" if differing else "of another version"


def _asked(folder: Path) -> Any:
    """Return the request recorded in a folder; None if there is none."""
    try:
        return json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return "cannot be read"


def _plain(request: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(request))
