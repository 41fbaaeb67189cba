"""The images of an audit: those of a split, and how many the official one has."""

from typing import Any

import numpy as np

from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.data.medmnist import NAMES, published
from fedrobust.evasion.models.protocol import Labels


def chosen_split(dataset: Dataset, split: str, images: int) -> tuple[np.ndarray, Labels, dict[str, Any]]:
    """Return stored images and labels of a split, `images` of them (0: all), and what a card says of them.

    Raises:
        ConfigError: there is no such split.
    """
    if split not in dataset.splits:
        raise ConfigError(f"split = {split!r}: choose one of {', '.join(dataset.splits)}")
    part = dataset.splits[split]
    chosen = part.sample(images)
    described = {
        "name": dataset.name,
        "digest": dataset.digest,
        "split": split,
        "labels": list(dataset.label_names),
        "disease": list(dataset.disease),
        "official": official(dataset),
    }
    return chosen.images, chosen.labels, described


def official(dataset: Dataset) -> int | None:
    """Return how many test images the set has that others report on under this name; None for own data."""
    if dataset.name not in NAMES:
        return None
    about = published(dataset.name)
    # An own file may bear the name of a published set; its images are then not those that others report on.
    addresses = {address for address, _ in about.files.values()}
    return about.counts[2] if dataset.source in addresses else None
