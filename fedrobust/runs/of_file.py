"""The run in whose folder a model's file is."""

from pathlib import Path

from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record.parts import DatasetRecord


def is_of_run(file: Path) -> bool:
    """Return whether a model's file is in a run folder."""
    return (file.parent / "experiment.toml").is_file()


def classes_of_run(file: Path) -> DatasetRecord | None:
    """Return the data of the run in whose folder a model's file is; None if it has no ``result.json`` yet.

    Raises:
        RunFolderError: ``result.json`` cannot be read.
    """
    folder = RunFolder(file.parent)
    return folder.record().dataset if folder.file("result.json").is_file() else None
