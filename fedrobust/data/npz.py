"""Read and check an own `.npz` file in MedMNIST's layout."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.annotations import read_annotations
from fedrobust.data.archive import DAMAGE, check_memory, damaged, declared
from fedrobust.data.dataset import DataError, Dataset, Split, digest, listed
from fedrobust.data.npz_cache import cache_folder, is_large, remembered, unpacked

KEYS = tuple(f"{split}_{part}" for split in ("train", "val", "test") for part in ("images", "labels"))


def read_npz(path: Path, name: str = "") -> Dataset:
    """Read a user's own data set.

    The file holds `train_images`, `val_images`, `test_images`, uint8 (n, height, width) or (n, height, width,
    1 or 3), and `train_labels`, `val_labels`, `test_labels`, any integer type, (n,) or (n, 1), numbered 0 to
    C - 1. Every class occurs in the training split; a class may be missing from the other two. It may also hold
    names of classes, labels that mean disease, sites and patients, see `fedrobust.data.annotations`.

    Args:
        path: the file.
        name: of the set; empty: the file's name without its extension.

    Raises:
        DataError: the file cannot be used; the message names the file, the key, what was found and what is
            allowed.
    """
    place = cache_folder(path)
    splits = read_splits(path)
    classes = class_count(path, splits)
    sizes = dict(zip(("train", "val", "test"), map(len, splits), strict=True))
    told = read_annotations(path, classes, sizes)
    return Dataset(
        name=name or path.stem,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        label_names=told.label_names,
        task="binary-class" if classes == 2 else "multi-class",
        disease=told.disease,
        source=str(path),
        licence="",
        digest=remembered(path, "sha256", lambda: digest(*splits), place),
        sites=told.sites,
        validation_sites=told.validation_sites,
        test_sites=told.test_sites,
    )


def read_splits(path: Path) -> tuple[Split, Split, Split]:
    """Read and check the training, validation and test split of a file in MedMNIST's layout.

    Raises:
        DataError: see `read_npz`.
    """
    arrays = read_arrays(path)
    train, validation, test = (
        read_split(path, name, arrays[f"{name}_images"], arrays[f"{name}_labels"])
        for name in ("train", "val", "test")
    )
    shape = train.images.shape[1:]
    for name, split in (("val", validation), ("test", test)):
        if split.images.shape[1:] != shape:
            raise DataError(
                f"{path}: {name}_images has images of shape {split.images.shape[1:]}; allowed: {shape}, as "
                "in train_images; resize them before saving"
            )
    return train, validation, test


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


def read_split(path: Path, name: str, images: NDArray[Any], labels: NDArray[Any]) -> Split:
    """Return one split's arrays as a checked `Split`."""
    checked_images = read_images(path, f"{name}_images", images)
    checked_labels = read_labels(path, f"{name}_labels", labels)
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
    elif len(shape) == 5:
        advice = "; volumes are not offered: save slices of them"
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


def read_labels(path: Path, key: str, labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels as int32 (n,)."""
    if is_one_hot(labels):
        raise DataError(
            f"{path}: {key} has shape {labels.shape}, one column a class (one-hot); allowed: (n,) or (n, 1), the "
            "number of the class; save numpy.argmax(labels, axis=1)"
        )
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {key} has dtype {labels.dtype}; allowed: an integer type, classes 0 to C - 1"
            f"{advice_on_labels(labels)}"
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(
            f"{path}: {key} has shape {labels.shape}: several labels an image; allowed: (n,) or (n, 1), one "
            "class an image; train one finding against the rest instead"
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
    if labels.ndim != 2 or labels.shape[1] < 2 or not len(labels) or labels.dtype.kind not in "biuf":
        return False
    numbers = labels.astype(np.float64)
    return bool(((numbers == 0) | (numbers == 1)).all() and (numbers.sum(axis=1) == 1).all())


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
