"""Data sets by name."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedrobust.data.dataset import Dataset
from fedrobust.data.load import available, describe, load


def load_dataset(name: str, size: int = 28, root: str | Path = "", **settings: Any) -> Dataset:
    """Return a data set by name or path; see `fedrobust.data.load.load`."""
    return load(name, size, root, **settings)


def list_datasets(root: str | Path = "") -> list[dict[str, Any]]:
    """Return the properties of every MedMNIST data set and the phantom, and which files are on the disk."""
    return [asdict(row) for row in available(root)]


def describe_dataset(name: str, size: int = 28, root: str | Path = "", **settings: Any) -> dict[str, Any]:
    """Return counts, shapes, source, licence and digest of a data set."""
    return describe(load(name, size, root, **settings))
