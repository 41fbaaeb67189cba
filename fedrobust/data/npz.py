"""Read and check an own `.npz` file in MedMNIST's layout."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.annotations import read_annotations, read_task
from fedrobust.data.archive import DAMAGE, check_memory, damaged, declared
from fedrobust.data.dataset import DataError, Dataset, Split, digest
from fedrobust.data.labels import class_count, finding_count, read_label_sets, read_labels
from fedrobust.data.npz_cache import cache_folder, is_large, remembered, unpacked
from fedrobust.data.problem import task_of
from fedrobust.data.volumes import VOLUMES

KEYS = tuple(f"{split}_{part}" for split in ("train", "val", "test") for part in ("images", "labels"))


def read_npz(path: Path, name: str = "") -> Dataset:
    """Read a user's own data set.

    The file holds `train_images`, `val_images`, `test_images`, uint8 (n, height, width) or (n, height, width,
    1 or 3), and `train_labels`, `val_labels`, `test_labels`, any integer type, (n,) or (n, 1), numbered 0 to
    C - 1. Every class occurs in the training split; a class may be missing from the other two. Multi-label files hold
    labels (n, findings) of 0 and 1 instead. It may also hold names of classes, the task, labels that mean disease,
    sites and patients, see `fedrobust.data.annotations`.

    Args:
        path: the file.
        name: of the set; empty: the file's name without its extension.

    Raises:
        DataError: the file cannot be used; the message names the file, the key, what was found and what is
            allowed.
    """
    place = cache_folder(path)
    splits, findings, task = read_splits(path)
    classes = findings or class_count(path, splits)
    sizes = dict(zip(("train", "val", "test"), map(len, splits), strict=True))
    told = read_annotations(path, classes, sizes)
    return Dataset(
        name=name or path.stem,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        label_names=told.label_names,
        task=task or task_of(classes, findings),
        disease=told.disease,
        source=str(path),
        licence="",
        digest=remembered(path, "sha256", lambda: digest(*splits), place),
        sites=told.sites,
        validation_sites=told.validation_sites,
        test_sites=told.test_sites,
        conversion=told.conversion,
    )


def read_splits(path: Path, task: str | None = None) -> tuple[tuple[Split, Split, Split], int, str]:
    """Read and check the training, validation and test split of a file in MedMNIST's layout.

    Args:
        path: the file.
        task: of the data set; None: the one that the file names, if any.

    Returns:
        The splits; the number of findings of a multi-label file, 0 for classes; the task, empty if unknown.

    Raises:
        DataError: see `read_npz`.
    """
    arrays = read_arrays(path)
    labels = {key: array for key, array in arrays.items() if key.endswith("_labels")}
    task = read_task(path) if task is None else task
    findings = finding_count(path, labels, task)
    train, validation, test = (
        read_split(path, name, arrays[f"{name}_images"], arrays[f"{name}_labels"], findings)
        for name in ("train", "val", "test")
    )
    shape = train.images.shape[1:]
    for name, split in (("val", validation), ("test", test)):
        if split.images.shape[1:] != shape:
            raise DataError(
                f"{path}: {name}_images has images of shape {split.images.shape[1:]}; allowed: {shape}, as "
                "in train_images; resize them before saving"
            )
    return (train, validation, test), findings, task


def read_arrays(path: Path, keys: Sequence[str] = KEYS) -> dict[str, NDArray[Any]]:
    """Read arrays of a file; pickled objects, which could run code, are refused.

    Types, shapes and sizes are read from the headers, so that unusable arrays are refused before they are unpacked.

    Args:
        path: the file.
        keys: names of the arrays.

    Raises:
        DataError: the file is missing, not an npz file, truncated, too large, lacks a key, or holds pickled objects.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: {'a folder; name an .npz file' if os.path.isdir(path) else 'no such file'}")
    if not is_archive(path):
        raise DataError(f"{path}: not an .npz file, or a truncated one; save it with numpy.savez_compressed")
    about = declared(path, keys)
    missing = [key for key in keys if key not in about]
    if missing:
        raise DataError(f"{path}: no {', '.join(missing)}; {advice_on_keys(path, missing, keys)}")
    for key, each in about.items():
        if key.endswith("images") and each.dtype == np.uint8:
            check_image_shape(path, key, each.shape)
    try:
        shared = unpacked(path, keys) if is_large(path) else None
        if shared is not None:
            return {key: shared[key] for key in keys}
        check_memory(path, about)
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in keys}
    except DataError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from error


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip archive.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb"):
            return zipfile.is_zipfile(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def advice_on_keys(path: Path, missing: Sequence[str], keys: Sequence[str]) -> str:
    """Return the keys of a file that lacks some, and advice."""
    with zipfile.ZipFile(path) as archive:
        found = [name.removesuffix(".npy") for name in archive.namelist()]
    more = ", ..." if len(found) > 10 else ""
    shown = f"found {', '.join(found[:10]) or 'nothing'}{more}; allowed: {', '.join(keys)}"
    if set(missing) == {"val_images", "val_labels"}:
        shown += (
            ". Set a tenth of the training images aside: val_images, val_labels = train_images[::10], "
            "train_labels[::10]; keep = numpy.arange(len(train_labels)) % 10 > 0; train_images, train_labels = "
            "train_images[keep], train_labels[keep]"
        )
    elif set(missing) == {"test_images", "test_labels"}:
        shown += ". Metrics are measured on images that are not trained on: set some training images aside"
    elif len(missing) == len(keys) and found:
        shown += ". Save the arrays under these names: numpy.savez_compressed(file, train_images=..., ...)"
    return shown


def read_split(path: Path, name: str, images: NDArray[Any], labels: NDArray[Any], findings: int = 0) -> Split:
    """Return one split's arrays as a checked `Split`; its labels are sets of `findings`, classes if that is 0."""
    checked_images = read_images(path, f"{name}_images", images)
    key = f"{name}_labels"
    checked_labels = (
        read_label_sets(path, key, labels, findings) if findings else read_labels(path, key, labels)
    )
    if len(checked_images) != len(checked_labels):
        raise DataError(
            f"{path}: {name}_labels has {len(checked_labels)} entries; allowed: {len(checked_images)}, one "
            f"for each of {name}_images"
        )
    return Split(checked_images, checked_labels)


def read_images(path: Path, key: str, images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images as uint8 (n, height, width, channels)."""
    if images.dtype != np.uint8:
        raise DataError(
            f"{path}: {key} has dtype {images.dtype}; allowed: uint8; save grey levels 0 to 255 as uint8"
            f"{advice_on_values(images)}"
        )
    check_image_shape(path, key, images.shape)
    return np.ascontiguousarray(images[..., None] if images.ndim == 3 else images)


def check_image_shape(path: Path, key: str, shape: tuple[int, ...]) -> None:
    """Raise a DataError unless `shape` is (n, height, width) or (n, height, width, 1 or 3) with n > 0."""
    shape = (*shape, 1) if len(shape) == 3 else shape
    if len(shape) == 4 and shape[3] in (1, 3) and 0 not in shape:
        return
    advice = ""
    if len(shape) == 4 and shape[1] in (1, 3) and 0 not in shape:
        advice = "; the channels come first here: numpy.moveaxis(images, 1, -1) puts them last"
    elif len(shape) == 4 and shape[3] == 4:
        advice = "; leave the fourth channel (transparency) out: images[..., :3]"
    elif len(shape) == 4 and shape[3] == 2:
        advice = "; leave the second channel (transparency) out: images[..., :1]"
    elif len(shape) == 5 or (len(shape) == 4 and min(shape[1:]) > 4):
        advice = f"; {VOLUMES}"
    elif len(shape) == 2:
        advice = "; rows of pixels have to be images again: images.reshape(-1, height, width)"
    raise DataError(
        f"{path}: {key} has shape {shape}; allowed: (n, height, width), (n, height, width, 1) or "
        f"(n, height, width, 3), with at least one image{advice}"
    )


def advice_on_values(images: NDArray[Any]) -> str:
    """Return advice on the conversion of images to uint8, by their values."""
    kind = images.dtype.kind
    if kind == "b":
        return ": images.astype(numpy.uint8) * 255"
    if kind not in "fiu" or not images.size:
        return ""
    low, high = images.min(), images.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        return "; some values are NaN or infinite: find out why, and leave those images out"
    found = f"; the values run from {low:g} to {high:g}"
    if kind == "f" and low >= 0 and high <= 1:
        return f"{found}; for values in [0, 1]: numpy.rint(images * 255).astype(numpy.uint8)"
    if kind == "f" and low >= -1 and high <= 1:
        return f"{found}; for values in [-1, 1]: numpy.rint((images + 1) * 127.5).astype(numpy.uint8)"
    if low >= 0 and high <= 255:
        whole = "images" if kind != "f" else "numpy.rint(images)"
        return f"{found}: {whole}.astype(numpy.uint8)"
    return (
        f"{found}; choose the range that shows what matters, the same for all images: "
        "numpy.rint((numpy.clip(images, low, high) - low) / (high - low) * 255.0).astype(numpy.uint8)"
    )
