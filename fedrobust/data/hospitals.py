"""Hospitals with a file each, joined into one data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedrobust.data.class_names import quoted
from fedrobust.data.conversion import common
from fedrobust.data.dataset import DataError, Dataset, Split, digest
from fedrobust.data.hospital_file import HospitalFile, read_hospital_file
from fedrobust.data.problem import is_multilabel
from fedrobust.data.sites import Sites

LONG = {"train": "training", "val": "validation", "test": "test"}


def joined(paths: Sequence[Path]) -> Dataset:
    """Return the data set of several hospitals: their splits one after the other; each file is a site, in this order.

    A file may lack validation and test images, and classes. Files that name their classes name the same ones.

    Args:
        paths: the hospitals' files.

    Raises:
        DataError: a file cannot be read, two have the same name, image shapes or classes differ, or no file has
            validation or test images, or training images of a class.
    """
    files = [read_hospital_file(path) for path in paths]
    names = tuple(path.stem for path in paths)
    _check_alike(files, names)
    labelled = next((file for file in files if file.named), max(files, key=lambda file: file.classes))
    splits, sites = {}, {}
    for split in LONG:
        held = [(place, file.splits[split]) for place, file in enumerate(files) if split in file.splits]
        if not held:
            raise DataError(
                f"data.clients: no file has {split}_images; allowed: {LONG[split]} images in at least one"
            )
        splits[split] = Split.joined([each for _, each in held])
        sites[split] = Sites(names, np.repeat([place for place, _ in held], [len(each) for _, each in held]))
    about = sites["train"].listed
    try:
        return Dataset(
            name=f"{len(files)} hospitals: {about}",
            train=splits["train"],
            validation=splits["val"],
            test=splits["test"],
            label_names=labelled.annotations.label_names,
            task=labelled.task,
            disease=next((file.annotations.disease for file in files if file.annotations.disease), ()),
            source=", ".join(map(str, paths)),
            licence="",
            digest=digest(*(each for file in files for each in file.splits.values())),
            sites=sites["train"],
            validation_sites=sites["val"],
            test_sites=sites["test"],
            remarks=(*_unnamed(files, names), *_unlike_windows(files, names)),
            conversion=common([file.annotations.conversion for file in files]),
        )
    except DataError as error:
        raise DataError(f"data.clients ({about}): {error}") from error


def _unnamed(files: Sequence[HospitalFile], names: Sequence[str]) -> tuple[str, ...]:
    """Return a remark on files that do not name their classes."""
    without = [name for file, name in zip(files, names, strict=True) if not file.named]
    if not without:
        return ()
    return (
        f"data.clients: {', '.join(without)}: no label_names in the file: whether its labels mean the same as those of "
        "other files is not known",
    )


def _unlike_windows(files: Sequence[HospitalFile], names: Sequence[str]) -> tuple[str, ...]:
    """Return a remark on files whose deep images were imported with different values of black and white."""
    shown = {
        name: told
        for file, name in zip(files, names, strict=True)
        if (told := file.annotations.conversion.shown)
    }
    if len(set(shown.values())) < 2:
        return ()
    each = ", ".join(f"{name} {low:g}:{high:g}" for name, (low, high) in shown.items())
    return (
        f"data.clients: pixels deeper than 8 bits were imported with different values of black and white ({each}): the "
        "same tissue has other grey levels in each; import them again with one --window",
    )


def _check_alike(files: Sequence[HospitalFile], names: Sequence[str]) -> None:
    """Raise a DataError unless files have names of their own, one image shape, and the same classes."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"data.clients: two files are called {twice}.npz; allowed: each name once, it is the site's name"
        )
    named = [file for file in files if file.named]
    ill = [file for file in files if file.annotations.disease]
    for file in files:
        if file.image_shape != files[0].image_shape:
            raise DataError(
                f"{file.path}: images of {file.image_shape}, those of {files[0].path} are {files[0].image_shape}; "
                "allowed: one shape; import them again with the same size and colour"
            )
        if is_multilabel(file.task) != is_multilabel(files[0].task):
            raise DataError(
                f"{file.path}: {file.task}, {files[0].path} is {files[0].task}; allowed: several findings an image in "
                "all files, or one class an image in all"
            )
        if is_multilabel(file.task) and file.classes != files[0].classes:
            raise DataError(
                f"{file.path}: {file.classes} findings, {files[0].path} has {files[0].classes}; allowed: the same in "
                "each file, in the same order"
            )
    for what, those in (("label_names", named), ("disease", ill)):
        for file in those:
            own, first = getattr(file.annotations, what), getattr(those[0].annotations, what)
            if own != first:
                raise DataError(
                    f"{file.path}: {what} {quoted(own)}, in {those[0].path} {quoted(first)}; allowed: the same in "
                    "each file, in the same order"
                )
    for file in files:
        if named and file.classes > named[0].classes:
            raise DataError(
                f"{file.path}: labels go up to {file.classes - 1}, {named[0].path} names {named[0].classes} classes"
            )
