"""Load a data set by name or path, list the available sets, and describe a loaded one."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fedrobust.data import medmnist
from fedrobust.data import phantom as drawn
from fedrobust.data.dataset import DataError, Dataset
from fedrobust.data.npz import read_npz
from fedrobust.data.search_path import resolve
from fedrobust.data.volumes import VOLUMES, is_volume_name


def load(
    name: str,
    size: int = 28,
    root: str | Path = "",
    *,
    seed: int = 0,
    base: Path | None = None,
    classes: int = 2,
    channels: int = 1,
    samples: int = 2000,
    multilabel: bool = False,
) -> Dataset:
    """Load ``"phantom"``, a 2-D MedMNIST set by name, or an own `.npz` file by path.

    Args:
        name: ``"phantom"``, a name such as ``"breastmnist"`` (in any case), or a path that ends in ``.npz``;
            a relative path is looked for in `base`, the current folder and the data roots.
        size: height and width for MedMNIST and the phantom set, in pixels; not used for an own file.
        root: a folder searched before `$FEDROBUST_DATA` and `~/.medmnist`.
        seed: the study's seed, for the phantom set.
        base: the study file's folder.
        classes: of the phantom set, 2 to 8.
        channels: of the phantom set, 1 or 3.
        samples: training images of the phantom set, which always has 300 validation and 500 test images.
        multilabel: whether its images have any number of lesions, each kind a finding.

    Raises:
        DataError: the name is unknown, or the set cannot be found, downloaded or used.

    Example:
        >>> load("phantom", samples=50).train.images.shape
        (50, 28, 28, 1)
        >>> load("brestmnist")
        Traceback (most recent call last):
        fedrobust.data.dataset.DataError: data.name = "brestmnist": unknown, did you mean "breastmnist"? \
Allowed: phantom, pathmnist, chestmnist, dermamnist, octmnist, pneumoniamnist, retinamnist, breastmnist, bloodmnist, \
tissuemnist, organamnist, organcmnist, organsmnist, or a path that ends in .npz
    """
    if name.lower().endswith(".npz"):
        path = resolve(name, base, root)
        published = medmnist.published_as(path)
        if published:
            return medmnist.read_published(path, *published)
        # An own file may have the name of a published set.
        return read_npz(path, f"{path.stem} (own file)" if medmnist.has_published_name(path) else "")
    known = name.lower()
    if known == "phantom":
        return drawn.phantom(classes, channels, size, train=samples, seed=seed, multilabel=multilabel)
    if known in medmnist.NAMES:
        return medmnist.load_medmnist(known, size, root)
    if os.path.exists(name):
        what = "a folder" if os.path.isdir(name) else "a file"
        raise DataError(
            f'data.name = "{name}": {what}, but data come as one .npz file with train_images, train_labels, '
            "val_images, ...: write one with numpy.savez_compressed"
        )
    raise DataError(f'data.name = "{name}": {unknown(known)}')


def unknown(name: str) -> str:
    """Return why a name is refused, the closest name and all that are allowed."""
    allowed = ["phantom", *medmnist.NAMES]
    choice = f"Allowed: {', '.join(allowed)}, or a path that ends in .npz"
    if is_volume_name(name):
        return f"not offered: {VOLUMES}. {choice}"
    # "breast" or "oct": a published name without its ending is the closest match.
    close = (
        [f"{name}mnist"] if f"{name}mnist" in allowed else get_close_matches(name, allowed, n=1, cutoff=0.6)
    )
    return f'unknown, did you mean "{close[0]}"? {choice}' if close else f"unknown. {choice}"


@dataclass(frozen=True)
class Available:
    """One line of the list of data sets.

    Args:
        name: the name used in studies.
        sizes: sizes found on disk, in pixels; the phantom set has any.
        classes: number of classes.
        channels: 1 (grey) or 3 (colour).
        task: such as ``"binary-class"``.
        counts: images in train, validation and test.
        licence: the images' licence.
        present: whether it can be loaded without a download.
    """

    name: str
    sizes: tuple[int, ...]
    classes: int
    channels: int
    task: str
    counts: tuple[int, int, int]
    licence: str
    present: bool


def available(root: str | Path = "") -> list[Available]:
    """List the phantom set and the twelve 2-D MedMNIST sets, and which of them are on disk.

    Args:
        root: a folder searched before `$FEDROBUST_DATA` and `~/.medmnist`.
    """
    first = Available("phantom", (), 2, 1, "binary-class", drawn.NUMBERS, drawn.LICENCE, present=True)
    return [first, *(on_disk(medmnist.published(name), root) for name in medmnist.NAMES)]


def on_disk(about: medmnist.Published, root: str | Path) -> Available:
    """Return the line of one MedMNIST set."""
    sizes = tuple(size for size in medmnist.SIZES if medmnist.find(about.name, size, root))
    return Available(
        name=about.name,
        sizes=sizes,
        classes=len(about.label_names),
        channels=about.channels,
        task=about.task,
        counts=about.counts,
        licence=about.licence,
        present=bool(sizes),
    )


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return the metadata of a data set as plain data for JSON.

    `sites` counts the training images of each site, where they are known; `test_majority` is the accuracy of a constant
    classifier that predicts the test split's most frequent class, or the more frequent answer to each finding.

    Example:
        >>> about = describe(load("phantom", samples=50))
        >>> about["counts"]["train"], about["test_majority"]
        ({'benign': 30, 'malignant': 20}, 0.6)
    """
    counts = {name: dataset.counts(split).tolist() for name, split in dataset.splits.items()}
    return {
        "name": dataset.name,
        "task": dataset.task,
        "classes": dataset.classes,
        "label_names": list(dataset.label_names),
        "disease": [dataset.label_names[label] for label in dataset.disease],
        "image_shape": list(dataset.image_shape),
        "images": {name: len(split) for name, split in dataset.splits.items()},
        "counts": {
            name: dict(zip(dataset.label_names, numbers, strict=True)) for name, numbers in counts.items()
        },
        "sites": dataset.sites.counts if dataset.sites else {},
        "test_majority": _majority(counts["test"], len(dataset.test), dataset.multilabel),
        "source": dataset.source,
        "licence": dataset.licence,
        "digest": dataset.digest,
        "conversion": dataset.conversion.to_json(),
    }


def _majority(counts: list[int], images: int, multilabel: bool) -> float:
    if not multilabel:
        return max(counts) / images
    return sum(max(count, images - count) for count in counts) / (len(counts) * images)
