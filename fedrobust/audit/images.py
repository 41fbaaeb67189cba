"""The images of an audit, and the number in the official split."""

from typing import Any

import numpy as np

from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.data.medmnist import NAMES, published
from fedrobust.evasion.models.protocol import Labels


def chosen_split(dataset: Dataset, split: str, images: int) -> tuple[np.ndarray, Labels, dict[str, Any]]:
    """Return stored images and labels of a split, `images` of them (0: all), and the card's data on them.

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
        "of": len(part),
    }
    return chosen.images, chosen.labels, described


def official(dataset: Dataset) -> int | None:
    """Return the number of images of the published test split; None for the user's own data."""
    if dataset.name not in NAMES:
        return None
    about = published(dataset.name)
    # A user's own file may have the name of a published data set.
    addresses = {address for address, _ in about.files.values()}
    return about.counts[2] if dataset.source in addresses else None
