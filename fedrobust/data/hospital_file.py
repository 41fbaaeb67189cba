"""A hospital's own `.npz` file: a training split, and validation and test splits if it has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedrobust.data.annotations import Annotations, read_annotations, read_task
from fedrobust.data.archive import declared
from fedrobust.data.dataset import DataError, Split
from fedrobust.data.labels import finding_count
from fedrobust.data.npz import read_arrays, read_split
from fedrobust.data.problem import Problem, is_multilabel, task_of

SPLITS = ("train", "val", "test")


MOST_CLASSES = 10_000
"""Most classes of a file: each is counted and listed."""


@dataclass(frozen=True, eq=False)
class HospitalFile:
    """What a hospital's file holds.

    Attributes:
        path: the file.
        splits: by "train", "val" and "test"; without those that the file lacks.
        task: in MedMNIST's words.
        classes: number of classes: as many as it names, else one more than its largest label; or of findings.
        named: whether the file names its classes.
        annotations: names of classes, disease, sites.
    """

    path: Path
    splits: Mapping[str, Split]
    task: str
    classes: int
    named: bool
    annotations: Annotations

    @property
    def problem(self) -> Problem:
        """Its image shape and its classes or findings."""
        return Problem(self.image_shape, self.classes, is_multilabel(self.task))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of its images."""
        height, width, channels = self.splits["train"].images.shape[1:]
        return height, width, channels


def read_hospital_file(path: Path) -> HospitalFile:
    """Read and check a hospital's file. Unlike a whole data set it may lack splits, and classes in any split.

    Raises:
        DataError: it cannot be read, lacks training images, an array has another shape or kind, splits differ in
            shape, a label has no name, or a patient is in two splits.
    """
    keys = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    found = _found(path, keys)
    arrays = read_arrays(path, found)
    task = read_task(path)
    labels = {key: array for key, array in arrays.items() if key.endswith("_labels")}
    findings = finding_count(path, labels, task)
    splits = {
        split: read_split(path, split, arrays[f"{split}_images"], arrays[f"{split}_labels"], findings)
        for split in SPLITS
        if f"{split}_images" in arrays
    }
    shape = splits["train"].images.shape[1:]
    largest = max(int(split.labels.max()) for split in splits.values())
    names = declared(path, ["label_names"]).get("label_names")
    classes = findings or (names.shape[0] if names and names.shape else largest + 1)
    if classes > MOST_CLASSES:
        raise DataError(
            f"{path}: labels go up to {largest}; allowed: up to {MOST_CLASSES:,} classes, numbered from 0; number them "
            "without gaps: numpy.unique(labels, return_inverse=True)[1]"
        )
    task = task or task_of(classes, findings)
    for split, each in splits.items():
        if each.images.shape[1:] != shape:
            raise DataError(
                f"{path}: {split}_images has images of shape {each.images.shape[1:]}; allowed: {shape}, as in "
                "train_images"
            )
        if not findings and each.labels.max() >= classes:
            raise DataError(
                f"{path}: {split}_labels has the value {each.labels.max()}; allowed: 0 to {classes - 1}, which "
                "label_names names"
            )
    counts = {split: len(splits[split]) if split in splits else 0 for split in SPLITS}
    return HospitalFile(path, splits, task, classes, bool(names), read_annotations(path, classes, counts))


def _found(path: Path, keys: list[str]) -> list[str]:
    """Return the arrays of training images and labels, and those of the other splits that the file has."""
    needed = keys[:2]
    if not path.is_file():
        return needed  # reading it tells what is wrong
    try:
        there = declared(path, keys)
    except DataError:
        read_arrays(path, needed)  # which tells more of what is no archive at all
        raise
    for split in SPLITS[1:]:
        found, lacking = sorted((f"{split}_images", f"{split}_labels"), key=lambda key: key not in there)
        if found in there and lacking not in there:
            raise DataError(f"{path}: {found} without {lacking}; allowed: both, or neither")
    return [*needed, *(key for key in keys[2:] if key in there)]


def class_counts(file: HospitalFile) -> dict[str, dict[str, int]]:
    """Return the number of images of each class or finding in each split of a file."""
    counts = {split: file.problem.counts(each.labels).tolist() for split, each in file.splits.items()}
    return {
        name: {split: numbers[label] for split, numbers in counts.items()}
        for label, name in enumerate(file.annotations.label_names)
    }
