"""Read the labels of an `.npz` file: classes, or findings that may occur together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError, Split, listed
from fedrobust.data.label_sets import MOST_FINDINGS, packed
from fedrobust.data.problem import MULTILABEL, is_multilabel


def finding_count(path: Path, labels: Mapping[str, NDArray[Any]], task: str = "") -> int:
    """Return the number of findings of a multi-label file; 0 where an image has one class.

    A file is multi-label if it says so, or if the labels of every split are 0 and 1, (n, findings), and not one-hot.

    Args:
        path: the file.
        labels: of its splits, by key.
        task: of the file, in MedMNIST's words; empty if unknown.

    Raises:
        DataError: the file says that it is multi-label and is not, has too many findings, or splits differ in them.
    """
    binary = all(is_binary(array) for array in labels.values())
    if not (is_multilabel(task) or (not task and binary and not all(map(is_one_hot, labels.values())))):
        return 0
    shapes = ", ".join(f"{key} {array.shape} {array.dtype}" for key, array in labels.items())
    if not binary or len({array.shape[1] for array in labels.values()}) > 1:
        raise DataError(
            f"{path}: {shapes}; allowed in a multi-label file: 0 and 1, (n, findings), with the same two or more "
            "findings in each split"
        )
    findings = int(next(iter(labels.values())).shape[1])
    if findings > MOST_FINDINGS:
        raise DataError(
            f"{path}: {findings} findings; allowed: up to {MOST_FINDINGS}; leave some out, such as the rarest"
        )
    return findings


def is_binary(labels: NDArray[Any]) -> bool:
    """Return whether `labels` are 0 and 1, (n, 2 or more)."""
    if labels.ndim != 2 or labels.shape[1] < 2 or not len(labels) or labels.dtype.kind not in "biuf":
        return False
    return bool(((labels == 0) | (labels == 1)).all())


def read_label_sets(path: Path, key: str, labels: NDArray[Any], findings: int) -> NDArray[np.int32]:
    """Return the label sets (n,) of labels (n, findings); see `fedrobust.data.label_sets`.

    Raises:
        DataError: `labels` are not 0 and 1, (n, findings).
    """
    if not is_binary(labels) or labels.shape[1] != findings:
        raise DataError(
            f"{path}: {key} has dtype {labels.dtype} and shape {labels.shape}; allowed: 0 and 1, (n, {findings}), one "
            "column a finding"
        )
    return packed(labels)


def read_labels(path: Path, key: str, labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels as int32 (n,)."""
    if is_one_hot(labels):
        raise DataError(
            f"{path}: {key} has shape {labels.shape}, one column a class (one-hot); allowed: (n,) or (n, 1), the "
            "number of the class; save numpy.argmax(labels, axis=1). Where the columns are findings that may occur "
            f'together, say so: task = "{MULTILABEL}"'
        )
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {key} has dtype {labels.dtype}; allowed: an integer type, classes 0 to C - 1"
            f"{advice_on_labels(labels)}"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(
            f"{path}: {key} has shape {labels.shape}: several labels an image; allowed: (n,) or (n, 1), one "
            "class an image; or, for findings that may occur together, 0 and 1 in every split, (n, findings)"
        )
    flat = labels.reshape(len(labels)) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1 or not len(flat):
        raise DataError(
            f"{path}: {key} has shape {labels.shape}; allowed: (n,) or (n, 1), at least one label"
        )
    limit = np.iinfo(np.int32).max
    if int(flat.min()) < 0 or int(flat.max()) > limit:
        raise DataError(
            f"{path}: {key} has values {flat.min()} to {flat.max()}; allowed: 0 to C - 1 for C classes; leave out "
            "images without a label, and number the classes from 0: numpy.unique(labels, return_inverse=True)[1]"
        )
    return flat.astype(np.int32)


def is_one_hot(labels: NDArray[Any]) -> bool:
    """Return whether every row of `labels` has one 1 and otherwise 0."""
    return is_binary(labels) and bool((labels.astype(np.float64).sum(axis=1) == 1).all())


def advice_on_labels(labels: NDArray[Any]) -> str:
    """Return advice on the conversion of labels to class numbers."""
    kind = labels.dtype.kind
    if kind in "SU":
        return "; for names: names, labels = numpy.unique(labels, return_inverse=True)"
    if kind == "b":
        return ": labels.astype(numpy.uint8)"
    if kind == "f" and labels.size and not np.isfinite(labels).all():
        return "; some are NaN or infinite: leave out images without a label"
    if kind == "f" and labels.size and (labels == np.rint(labels)).all():
        return ": labels.astype(numpy.int64)"
    return ""


def class_count(path: Path, splits: tuple[Split, Split, Split]) -> int:
    """Return the number of classes C: the training labels are exactly 0 to C - 1, and other splits have no others.

    Raises:
        DataError: fewer than two classes, a gap in their numbers, or a class that the training split lacks.
    """
    found = np.unique(splits[0].labels)
    classes = int(found[-1]) + 1
    if len(found) < classes:
        missing = sorted(set(range(min(classes, 1000))) - set(found.tolist()))
        raise DataError(
            f"{path}: train_labels goes up to {classes - 1} but has no image of class {listed(missing)}; "
            "allowed: 0 to C - 1, each at least once; renumber the classes without gaps"
        )
    if classes < 2:
        raise DataError(f"{path}: train_labels has 1 class; allowed: at least 2, numbered 0 to C - 1")
    for name, split in (("val", splits[1]), ("test", splits[2])):
        if split.labels.max() >= classes:
            raise DataError(
                f"{path}: {name}_labels has the value {split.labels.max()}; allowed: 0 to {classes - 1}, "
                "the classes of train_labels"
            )
    return classes
