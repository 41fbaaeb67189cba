"""Images that a table lists: a CSV file with a line an image."""

import csv
import io
from functools import partial
from pathlib import Path

from fedrobust.data.dataset import DataError
from fedrobust.data.importing.decode import decode
from fedrobust.data.importing.entry import SPLIT_NAMES, Entry, Source
from fedrobust.registry import did_you_mean

COLUMNS = ("path", "label", "site", "patient", "split")
NEEDED = ("path", "label")


def of_table(
    file: Path,
    *,
    images: Path | None = None,
    columns: dict[str, str] | None = None,
    window: tuple[float, float] | None = None,
) -> Source:
    """List the images of a table; nothing is decoded yet.

    The first line names the columns: ``path`` and ``label``, and optionally ``site``, ``patient`` and ``split``
    (train, val or test; empty: to be drawn). Commas, semicolons or tabs separate them; other columns are not read.

    Args:
        file: the table, UTF-8.
        images: folder that relative paths begin in; None: the table's own.
        columns: what the table calls a column, such as ``{"label": "diagnosis"}``.
        window: see `decode`.

    Raises:
        DataError: the table cannot be read, lacks a column, or a line lacks a path or a label or has another split.
    """
    header, lines = _read(file)
    called = {column: (columns or {}).get(column, column) for column in COLUMNS}
    _check_columns(file, header, called, columns or {})
    folder = images or file.parent
    entries = []
    for number, line in lines:
        cell = {column: line.get(name, "") for column, name in called.items()}
        for column in NEEDED:
            if not cell[column]:
                raise DataError(
                    f"{file}, line {number}: no {called[column]}; every image needs a path and a label"
                )
        split = cell["split"].lower()
        if split and split not in SPLIT_NAMES:
            raise DataError(
                f"{file}, line {number}: {called['split']} = {cell['split']!r}; allowed: train, val, test, or empty"
            )
        entries.append(
            Entry(
                cell["path"],
                cell["label"],
                partial(decode, folder / cell["path"], window),
                cell["site"],
                cell["patient"],
                SPLIT_NAMES.get(split, ""),
            )
        )
    if not entries:
        raise DataError(f"{file}: no images in it; below the names of the columns stands a line an image")
    unread = [name for name in header if name not in called.values()]
    remarks = (f"columns not read: {', '.join(unread)}",) if unread else ()
    return Source(str(file), tuple(entries), remarks)


def _read(file: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the names of the columns, and the number and the cells of each line that is not empty."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 (byte {error.start}); save the table as UTF-8") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        header = [name.strip() for name in next(reader, [])]
        lines = []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{file}, line {reader.line_num}: {len(row)} cells; allowed: {len(header)}, one for each of "
                    f"{', '.join(header)}"
                )
            lines.append((reader.line_num, dict(zip(header, map(str.strip, row), strict=True))))
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}; save the table as CSV again") from error
    return header, lines


def _check_columns(file: Path, header: list[str], called: dict[str, str], given: dict[str, str]) -> None:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{file}: two columns are called {twice[0]!r}; allowed: each name once")
    for column in given:
        if column not in COLUMNS:
            raise DataError(
                f"columns: {column!r} is none; allowed: {', '.join(COLUMNS)}{did_you_mean(column, COLUMNS)}"
            )
    missing = [
        column for column in COLUMNS if called[column] not in header and (column in NEEDED or column in given)
    ]
    if missing:
        column = missing[0]
        raise DataError(
            f"{file}: no column {called[column]!r}; found {', '.join(header) or 'nothing'}; allowed: "
            f"{', '.join(COLUMNS)}, of which path and label are needed; name another one with "
            f"--column {column}=NAME"
        )
