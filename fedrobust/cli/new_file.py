"""Files that a command writes to a path set by the user."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.atomic import atomic
from fedrobust.paths import PathError, check_can_hold, expanded

if TYPE_CHECKING:
    import pandas


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


def check_table_file(path: Path, setting: str) -> None:
    """Check that a table can be written in the format that its file's name ends in.

    Raises:
        PathError: the name ends in something else, or what writes the format is not installed.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise PathError(f"{setting} = {str(path)!r}: a name that ends in .csv or .parquet says the format")
    if ending == ".parquet" and find_spec("pyarrow") is None:
        raise PathError(
            f"{setting} = {str(path)!r}: Parquet is written by pyarrow, which is not installed: pip install "
            "'fedrobust[parquet]'; or name a .csv file"
        )


def write_table(path: Path, table: "pandas.DataFrame") -> None:
    """Write a table atomically, in the format that its file's name ends in.

    Raises:
        DiskError: it cannot be written.
    """
    with atomic(expanded(path)) as draft:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(draft, index=False)
        else:
            table.to_csv(draft, index=False)
