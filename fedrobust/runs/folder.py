"""The run folder: all files of a run, each written atomically."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic, cannot_write
from fedrobust.config import Experiment
from fedrobust.config.study_file import BASE
from fedrobust.errors import FedrobustError
from fedrobust.paths import absent, check_can_hold, expanded
from fedrobust.plain import plain
from fedrobust.runs.record import READABLE, RecordError, RunRecord

SHAPE: dict[str, type | tuple[type, ...]] = {
    "status": str,
    "rounds": list,
    "experiment": dict,
    "student": (dict, type(None)),
    "export": list,
}
"""Required keys of every ``result.json``, and their types."""


class RunFolderError(FedrobustError, ValueError):
    """A folder cannot be used for a run, or has no run."""


class UnwritableRunError(RunFolderError, RuntimeError):
    """A run failed because its folder could not be written."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Holds ``experiment.toml``, ``base.json``, ``partition.json``, ``metrics.jsonl`` (a line per round), ``result.json``,
    ``checkpoints/`` (until the run is finished; with the log of the rounds), ``model.keras``, ``student.keras``,
    ``*.tflite``, ``examples.npz``, ``environment.json`` and ``report.html``.

    Attributes:
        path: of the folder.
    """

    path: Path

    @classmethod
    def create(cls, name: str, root: str, directory: str = "") -> "RunFolder":
        """Create an empty folder: `directory` if given, else a new one below `root`, named by study and time.

        Raises:
            RunFolderError: `directory` is not empty, or the folder cannot be created.
        """
        try:
            if directory:
                path = expanded(directory)
                path.mkdir(parents=True, exist_ok=True)
                if any(path.iterdir()):
                    raise RunFolderError(_not_empty(directory))
                return cls(path)
            parent = expanded(root)
            parent.mkdir(parents=True, exist_ok=True)
            return cls(_new_folder(parent, f"{name}-{datetime.now():%Y%m%d-%H%M%S}"))
        except OSError as error:
            raise RunFolderError(
                f"output: a run folder cannot be made at {error.filename}: {error.strerror}; choose another --out"
            ) from error

    @staticmethod
    def check_new(root: str, directory: str = "") -> None:
        """Check that `create` could make a folder, without making one.

        Raises:
            RunFolderError: `directory` is not empty.
            PathError: nothing can be written there.
        """
        path = expanded(directory or root)
        check_can_hold(path, "output.dir" if directory else "output.root")
        if directory and path.is_dir() and any(path.iterdir()):
            raise RunFolderError(_not_empty(directory))

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Return the folder of an existing run.

        Raises:
            RunFolderError: there is no such folder, or it has no ``experiment.toml``.
        """
        folder = cls(expanded(path))
        if not os.path.isfile(folder.file("experiment.toml")):
            why = "it has no experiment.toml" if folder.path.exists() else absent(path, "folder")
            raise RunFolderError(f"{path}: not a run folder ({why})")
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock this folder against other processes during the block; a killed process loses its lock.

        Raises:
            RunFolderError: another process has the lock.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise RunFolderError(f"{self.path}: another process is running in this folder") from error
        finally:
            os.close(handle)

    def file(self, name: str) -> Path:
        """Return the path of one file of the run."""
        return self.path / name

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file atomically."""
        with atomic(self.file(name)) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return self.file(name)

    def write_study(self, experiment: Experiment) -> None:
        """Write ``experiment.toml``, and in ``base.json`` the folder in which its relative files are searched first.

        Without ``output.dir``, so that ``fedrobust run experiment.toml`` repeats the study in a folder of its own.
        """
        self.write_text("experiment.toml", experiment.changed(output__dir="", output__resume=False).to_toml())
        self.write_json(BASE, {"folder": str(Path(experiment.base).resolve())})

    def write_json(self, name: str, value: Mapping[str, Any]) -> Path:
        """Write plain data as indented JSON, atomically; NaN and infinities are errors."""
        return self.write_text(name, json.dumps(value, indent=2, allow_nan=False) + "\n")

    def write_whatever(self, name: str, value: Mapping[str, Any]) -> Path:
        """Write `value` as JSON, atomically; other than plain data is converted, see `plain`.

        For the record of a failed study, which may contain such values.
        """
        return self.write_json(name, plain(value))

    def write_with(self, name: str, write: Callable[[Path], object]) -> Path:
        """Write a file atomically by calling `write` with a temporary path of the same suffix."""
        with atomic(self.file(name)) as temporary:
            write(temporary)
        return self.file(name)

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file.

        Raises:
            RunFolderError: it is missing or damaged.
        """
        path = self.file(name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
            raise RunFolderError(f"{path}: damaged, it is no JSON ({error})") from error

    def read_table(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file, which is an object.

        Raises:
            RunFolderError: it is missing, damaged, or not an object.
        """
        table = self.read_json(name)
        if not isinstance(table, dict):
            raise RunFolderError(f"{self.file(name)}: damaged: it holds no JSON object")
        return table

    def result(self) -> dict[str, Any]:
        """Return the content of ``result.json``.

        Raises:
            RunFolderError: it is missing, damaged, or of a schema that this version does not know.
        """
        path, result = self.file("result.json"), self.read_table("result.json")
        if "schema" not in result:
            raise RunFolderError(f"{path}: not the result of a run: it names no schema")
        if result["schema"] not in READABLE or isinstance(result["schema"], bool):
            known = " and ".join(map(str, READABLE))
            raise RunFolderError(
                f"{path}: schema = {result['schema']!r}, this version reads {known}; open the folder with the version "
                "that wrote it, or run the study again"
            )
        for key, kinds in SHAPE.items():
            if key not in result or not isinstance(result[key], kinds):
                raise RunFolderError(f"{path}: damaged: {key!r} is missing or of another kind")
        return result

    def record(self) -> RunRecord:
        """Return the content of ``result.json`` as a record.

        Raises:
            RunFolderError: it is missing, damaged, or of a schema that this version does not know.
        """
        try:
            return RunRecord.read(self.result())
        except RecordError as error:
            raise RunFolderError(f"{self.file('result.json')}: damaged: {error}") from error

    def append_line(self, name: str, value: Mapping[str, Any]) -> bytes:
        """Append `value` as one line of JSON, flush it to disk, and return the line."""
        line = (json.dumps(value, allow_nan=False) + "\n").encode()
        path = self.file(name)
        try:
            with path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from error
        return line


def _not_empty(directory: str) -> str:
    return f'output.dir = "{directory}": the folder is not empty; a run starts in an empty or a new one'


def _new_folder(parent: Path, name: str) -> Path:
    for attempt in range(1, 1000):
        path = parent / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise RunFolderError(f"{parent}: a thousand runs named {name}; choose another --out")
