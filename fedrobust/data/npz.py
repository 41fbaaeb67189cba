"""Read an own `.npz` file in MedMNIST's layout, or say exactly what is wrong with it."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError, Dataset, Split, digest, listed
from fedrobust.data.unpacked import cache_folder, is_large, remembered, unpacked

KEYS = tuple(f"{split}_{part}" for split in ("train", "val", "test") for part in ("images", "labels"))


def read_npz(path: Path) -> Dataset:
    """Read a user's own data set.

    The file holds `train_images`, `val_images`, `test_images`, uint8 (n, height, width) or (n, height, width,
    1 or 3), and `train_labels`, `val_labels`, `test_labels`, any integer type, (n,) or (n, 1), numbered 0 to
    C - 1. Every class occurs in the training split; a class may be missing from the other two. The set is
    named after the file. Which classes mean disease, and the licence, are not known.

    Args:
        path: the file.

    Raises:
        DataError: the file cannot be used; the message names the file, the key, what was found and what is
            allowed.
    """
    place = cache_folder(path)
    splits = read_splits(path)
    classes = class_count(path, splits)
    return Dataset(
        name=path.stem,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        label_names=tuple(str(label) for label in range(classes)),
        task="binary-class" if classes == 2 else "multi-class",
        disease=(),
        source=str(path),
        licence="",
        digest=remembered(path, "sha256", lambda: digest(*splits), place),
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


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the six arrays of a file; pickled objects are refused, they could run code.

    Raises:
        DataError: the file is missing, no npz, truncated, lacks a key, or holds pickled objects.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not an .npz file, or a truncated one; save it with numpy.savez_compressed")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive]
            if missing:
                raise DataError(
                    f"{path}: no {', '.join(missing)}; found {', '.join(archive) or 'nothing'}; allowed: "
                    f"{', '.join(KEYS)}"
                )
            source = (unpacked(path, KEYS) if is_large(path) else None) or archive
            return {key: read_array(path, source, key) for key in KEYS}
    except DataError:
        raise
    # RuntimeError: encrypted, or compressed in a way that zipfile does not know.
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged ({error}); fetch or save it again") from error


def read_array(path: Path, archive: Any, key: str) -> NDArray[Any]:
    """Read one array.

    Raises:
        DataError: it holds pickled objects, or is damaged; NumPy says both with a ValueError.
    """
    try:
        array: NDArray[Any] = archive[key]
    except ValueError as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise DataError(
                f"{path}: {key} holds pickled objects; allowed: plain integer arrays. Pickles could run "
                "code and are never loaded; save numbers of one shape"
            ) from error
        raise DataError(f"{path}: {key} is truncated or damaged ({error}); fetch or save it again") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: {key} is no NumPy array; save it with numpy.savez_compressed")
    return array


def read_split(path: Path, name: str, images: NDArray[Any], labels: NDArray[Any]) -> Split:
    """Bring one split's arrays to the form of `Split`."""
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
        advice = "save grey levels 0 to 255 as uint8"
        if images.dtype.kind == "f":
            advice += "; for values in [0, 1]: numpy.rint(images * 255).astype(numpy.uint8)"
        raise DataError(f"{path}: {key} has dtype {images.dtype}; allowed: uint8; {advice}")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"{path}: {key} has shape {images.shape}; allowed: (n, height, width), (n, height, width, 1) or "
            "(n, height, width, 3), with at least one image"
        )
    return np.ascontiguousarray(images)


def read_labels(path: Path, key: str, labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels as int32 (n,)."""
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: {key} has dtype {labels.dtype}; allowed: an integer type, classes 0 to C - 1"
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
            f"{path}: {key} has values {flat.min()} to {flat.max()}; allowed: 0 to C - 1 for C classes"
        )
    return flat.astype(np.int32)


def class_count(path: Path, splits: tuple[Split, Split, Split]) -> int:
    """Return C where the training labels are exactly 0 to C - 1 and no other split goes beyond.

    Raises:
        DataError: fewer than two classes, a gap in their numbers, or a class that the training split never
            shows.
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
