"""Data sets by name."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedrobust.data.dataset import Dataset
from fedrobust.data.load import available, describe, load


def load_dataset(name: str, size: int = 28, root: str | Path = "", **settings: Any) -> Dataset:
    """Return a data set by name or path; see `fedrobust.data.load.load`.

    Example:
        >>> data = load_dataset("phantom", samples=20)
        >>> data.train.images.shape, data.label_names
        ((20, 28, 28, 1), ('benign', 'malignant'))
    """
    return load(name, size, root, **settings)


def list_datasets(root: str | Path = "") -> list[dict[str, Any]]:
    """Return the properties of every MedMNIST data set and the phantom, and which files are on the disk.

    Example:
        >>> [data["classes"] for data in list_datasets() if data["name"] == "phantom"]
        [2]
    """
    return [asdict(row) for row in available(root)]


def describe_dataset(name: str, size: int = 28, root: str | Path = "", **settings: Any) -> dict[str, Any]:
    """Return counts, shapes, source, licence and digest of a data set.

    Example:
        >>> describe_dataset("phantom", samples=20)["image_shape"]
        [28, 28, 1]
    """
    return describe(load(name, size, root, **settings))
