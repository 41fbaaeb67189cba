"""Check an `.npz` file before a study or a hospital uses it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.archive import declared
from fedrobust.data.class_names import as_option, quoted
from fedrobust.data.dataset import DataError, Split
from fedrobust.data.duplicates import Duplicates, duplicates
from fedrobust.data.hospital_file import HospitalFile, class_counts, read_hospital_file
from fedrobust.data.npz import read_npz
from fedrobust.data.problem import Problem

DARK = 32
"""Grey levels that images reach at least; below, they were probably scaled wrongly."""


@dataclass(frozen=True)
class Expected:
    """What a study takes.

    Attributes:
        name: of the study, for messages.
        image_shape: (height, width, channels).
        label_names: of its classes or findings, in order.
        multilabel: whether an image may have several findings, or none.
    """

    name: str
    image_shape: tuple[int, int, int]
    label_names: tuple[str, ...]
    multilabel: bool = False

    @property
    def problem(self) -> Problem:
        """Its image shape and its classes or findings."""
        return Problem(self.image_shape, len(self.label_names), self.multilabel)


@dataclass(frozen=True)
class FileCheck:
    """What a file holds, and what it can be used for.

    Attributes:
        file: the file.
        image_shape: (height, width, channels).
        classes: number of images of each class in each split.
        named: whether it names its classes.
        sites: number of images of each site in each split whose sites are known; empty if unknown.
        values: smallest and largest grey level of all images.
        patients: whether the patients of every split are recorded; each is then in one split.
        whole: why it cannot be a study's data set (``data.name``); empty if it can.
        hospital: why it cannot be a hospital's file of the expected study; empty if it can.
        warnings: what should be looked at, a sentence each.
    """

    file: Path
    image_shape: tuple[int, int, int]
    classes: dict[str, dict[str, int]]
    named: bool
    sites: dict[str, dict[str, int]]
    values: tuple[int, int]
    patients: bool
    whole: str
    hospital: str
    warnings: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether it can be used: as a hospital's file of the expected study, or as anything if none is expected."""
        return not self.hospital


def check_file(path: Path, expected: Expected | None = None, near: bool = True) -> FileCheck:
    """Read a file and check all that can be checked without training.

    Args:
        path: the file.
        expected: what the study takes that a hospital wants to join; None: no study.
        near: whether near duplicates are searched, too.

    Raises:
        DataError: it cannot be read as a hospital's file at all.
    """
    file = read_hospital_file(path)
    return FileCheck(
        file=path,
        image_shape=file.image_shape,
        classes=class_counts(file),
        named=file.named,
        sites=_site_counts(file),
        values=(
            min(int(split.images.min()) for split in file.splits.values()),
            max(int(split.images.max()) for split in file.splits.values()),
        ),
        patients=len(declared(path, [f"{split}_patient" for split in file.splits])) == len(file.splits),
        whole=_why_not_whole(path),
        hospital=_why_not_like(file, expected) if expected else "",
        warnings=tuple(_warnings(file, near)),
    )


def _site_counts(file: HospitalFile) -> dict[str, dict[str, int]]:
    """Return the number of images of each site in each split whose sites the file tells."""
    about = file.annotations
    told = {"train": about.sites, "val": about.validation_sites, "test": about.test_sites}
    counts = {split: each.counts for split in file.splits if (each := told[split])}
    names = dict.fromkeys(name for each in counts.values() for name in each)
    return {name: {split: each.get(name, 0) for split, each in counts.items()} for name in names}


def _why_not_whole(path: Path) -> str:
    try:
        read_npz(path)
    except DataError as error:
        return str(error)
    return ""


def _why_not_like(file: HospitalFile, expected: Expected) -> str:
    names, wanted = file.annotations.label_names, expected.label_names
    if file.image_shape != expected.image_shape:
        return (
            f"images of {file.image_shape}, {expected.name} takes {expected.image_shape}: import them again with this "
            "size and colour"
        )
    if file.named and names != wanted:
        return (
            f"classes {quoted(names)}, {expected.name} has {quoted(wanted)}, in this order: import them again with "
            f"classes = {as_option(wanted)!r}"
        )
    if file.problem.multilabel != expected.multilabel:
        kinds = {True: "several findings an image", False: "one class an image"}
        return f"{kinds[file.problem.multilabel]}, {expected.name} takes {kinds[expected.multilabel]}"
    if file.problem.multilabel and file.classes != len(wanted):
        return f"{file.classes} findings, {expected.name} has {len(wanted)}"
    if file.classes > len(wanted):
        return f"labels go up to {file.classes - 1}, {expected.name} has 0 to {len(wanted) - 1}"
    return ""


def _warnings(file: HospitalFile, near: bool) -> Iterator[str]:
    images = np.concatenate([split.images for split in file.splits.values()])
    labels = np.concatenate([split.labels for split in file.splits.values()])
    where = [f"{name} {row}" for name, split in file.splits.items() for row in range(len(split))]
    splits = np.repeat(list(file.splits), [len(split) for split in file.splits.values()])
    if not file.named:
        yield "the file does not name its classes (label_names): nothing tells whether labels mean the same elsewhere"
    yield from _values(file.splits)
    flat = np.flatnonzero(np.ptp(images.reshape(len(images), -1), axis=1) == 0)
    if len(flat):
        yield f"constant images: {len(flat)}, such as {_some(flat, where)}"
    for name, counts in class_counts(file).items():
        lacking = [split for split, count in counts.items() if not count]
        if lacking:
            kind = "with finding" if file.problem.multilabel else "of class"
            yield f"no image {kind} {name} in {', '.join(lacking)}"
    yield from _duplicates(duplicates(images, near), splits, labels, where)


def _values(splits: Mapping[str, Split]) -> Iterator[str]:
    for name, split in splits.items():
        high = int(split.images.max())
        if high < DARK:
            yield (
                f"{name}_images has values up to {high} of 255: nearly black; if they were scaled to [0, 1], save them "
                "scaled to 0 to 255"
            )


def _duplicates(
    found: Duplicates, splits: NDArray[Any], labels: NDArray[np.int32], where: list[str]
) -> Iterator[str]:
    across = found.across(splits)
    for kind, pairs in (("exact", across.exact), ("near", across.near)):
        if len(pairs):
            yield (
                f"{kind} duplicates in two splits, which flatter test figures: {len(pairs)}, such as "
                f"{where[pairs[0, 0]]} and {where[pairs[0, 1]]}"
            )
    apart = found.across(labels).pairs
    if len(apart):
        yield (
            f"duplicates with different labels: {len(apart)}, such as {where[apart[0, 0]]} and {where[apart[0, 1]]}"
        )


def _some(rows: NDArray[np.int64], where: list[str]) -> str:
    """Return the places of the first images."""
    return f"{', '.join(where[row] for row in rows[:3])}{', ...' if len(rows) > 3 else ''}"
