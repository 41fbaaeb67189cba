"""Read study files: TOML of limited size, with error messages."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from fedrobust.config.shipped import shipped
from fedrobust.errors import ConfigError
from fedrobust.registry import did_you_mean

MOST_BYTES = 2**20
"""Largest size of a study file."""

MOST_PARTS = 32
"""Largest number of parts of a dotted key, because the parser's time is quadratic in it."""

BASE = "base.json"
"""The file of a run folder with the folder in which the study's relative files are searched first."""

_DOTTED = re.compile(r"""[\w"'-]+(?:[ \t]*\.[ \t]*[\w"'-]+)*""")


def read_study_file(path: str | Path) -> dict[str, Any]:
    """Return the tables of a TOML file in UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: it cannot be read, is empty, too long, no UTF-8, or no TOML; the message names the file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = f"{did_you_mean(str(path), shipped()) or ';'} shipped studies: {', '.join(shipped())}"
        raise ConfigError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}{hint}"
        ) from error
    if content.startswith((b"PK\x03\x04", b"\x93NUMPY")):
        raise ConfigError(
            f"{path}: arrays, and no study file; `fedrobust init study.toml --data {path}` writes a study of images"
        )
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path}: longer than {MOST_BYTES // 2**20} MB: that is no study file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty; `fedrobust init` writes one to start from")
    try:
        return _read(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        if reason.startswith(("Cannot overwrite", "Cannot declare", "Duplicate")):
            reason = f"a key or a table is given twice: {reason}"
        raise ConfigError(f"{path}: not a TOML file: {reason}") from error


def read_single_study_file(path: str | Path) -> dict[str, Any]:
    """Return the tables of a study file that is no sweep; see `read_study_file`.

    Raises:
        ConfigError: it cannot be read, or is a sweep.
    """
    values = read_study_file(path)
    if "sweep" in values:
        raise ConfigError(
            f"{path}: a sweep of many studies, because it has [sweep]: `fedrobust bench {path}` runs them, and with "
            "--dry-run checks them; without [sweep] and with single values it is one study"
        )
    return values


def base_of(path: str | Path) -> str:
    """Return the folder in which the relative files of a study file are searched first: its own.

    Of the ``experiment.toml`` of a run folder it is that of the study that was run, as ``base.json`` has it, if it is
    still there.
    """
    own = Path(path).resolve().parent
    if Path(path).name != "experiment.toml":
        return str(own)
    try:
        first = json.loads((own / BASE).read_bytes())["folder"]
        return str(first) if os.path.isabs(first) and os.path.isdir(first) else str(own)
    # There is none in runs of earlier versions, and another file of a user's may have that name.
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return str(own)


def toml_value(text: str) -> Any:
    r"""Return the TOML value of `text`; other text is a string, so that quotes may be left out.

    Example:
        >>> toml_value("[1, 2]"), toml_value("0.5"), toml_value("8/255"), toml_value("1\nseed = 2")
        ([1, 2], 0.5, '8/255', '1\nseed = 2')
    """
    try:
        values = _read(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return values["value"] if list(values) == ["value"] else text


def _read(text: str) -> dict[str, Any]:
    if any(found[0].count(".") > MOST_PARTS for found in _DOTTED.finditer(text)):
        raise RecursionError
    # TOML ends lines with \n or \r\n.
    return tomllib.loads(text.replace("\r\n", "\n"))
