"""The 2-D sets of MedMNIST v2, read from disk or downloaded, and checked against the published MD5.

Yang et al., 2023, MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image
classification, Scientific Data 10:41, arXiv:2110.14795.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from fedrobust.data.dataset import DataError, Dataset, NotHereError, digest
from fedrobust.data.download import download
from fedrobust.data.npz import read_splits
from fedrobust.data.npz_cache import cache_folder, remembered
from fedrobust.data.search_path import folders, roots, searched, writable

SIZES = (28, 64, 128, 224)

NAMES = (
    "pathmnist",
    "chestmnist",
    "dermamnist",
    "octmnist",
    "pneumoniamnist",
    "retinamnist",
    "breastmnist",
    "bloodmnist",
    "tissuemnist",
    "organamnist",
    "organcmnist",
    "organsmnist",
)
"""The twelve 2-D sets. ChestMNIST is multi-label, RetinaMNIST has grades, the others have classes."""

KINDS = {
    "chestmnist": "It is multi-label: each of 14 findings is present in an image or not. The model has a sigmoid for "
    "each, and figures are means over findings.",
    "retinamnist": "Its classes are grades 0 to 4: the quadratic weighted kappa is measured, too.",
}
"""Sets whose labels are not classes that exclude each other and have no order."""

DISEASE: dict[str, tuple[int, ...]] = {
    "pathmnist": (7, 8),  # cancer-associated stroma, adenocarcinoma epithelium
    "dermamnist": (
        0,
        1,
        4,
    ),  # actinic keratoses and intraepithelial carcinoma, basal cell carcinoma, melanoma
    "octmnist": (0, 1, 2),  # all but normal
    "pneumoniamnist": (1,),
    "retinamnist": (1, 2, 3, 4),  # grade 0 is no retinopathy
    "breastmnist": (0,),  # malignant is label 0
}
"""Labels that mean disease; the other sets contain healthy cells or organs."""


SHA256 = {
    "breastmnist.npz": "3a22d2a4625e7dd8903f0f59030e81a3d0c222bece2e5e10927456cb50efdec1",
    "pneumoniamnist.npz": "e1792d3f03751cb101e99f19a63b3c1941436c988665f47853417b05be250cd8",
}
"""SHA-256 of published files. MedMNIST publishes MD5 alone, of which other files with the same sum can be made: where a
file is listed here, it must have this sum, too."""


@dataclass(frozen=True)
class Published:
    """MedMNIST's published metadata of one set.

    Args:
        name: in small letters, such as ``"breastmnist"``.
        label_names: in the order of the labels.
        task: ``"binary-class"``, ``"multi-class"``, ``"multi-label, binary-class"`` or ``"ordinal-regression"``.
        channels: 1 or 3.
        counts: images in train, validation and test.
        licence: the images' licence.
        files: size in pixels to (address, MD5).
    """

    name: str
    label_names: tuple[str, ...]
    task: str
    channels: int
    counts: tuple[int, int, int]
    licence: str
    files: Mapping[int, tuple[str, str]]


def published(name: str) -> Published:
    """Return the published metadata of one of `NAMES`, from the `medmnist` package."""
    info = table()[name]
    samples = info["n_samples"]
    return Published(
        name=name,
        label_names=tuple(info["label"][str(label)] for label in range(len(info["label"]))),
        task=str(info["task"]),
        channels=int(info["n_channels"]),
        counts=(samples["train"], samples["val"], samples["test"]),
        licence=str(info["license"]),
        files={size: (info[f"url{suffix(size)}"], info[f"MD5{suffix(size)}"]) for size in SIZES},
    )


def table() -> Mapping[str, Mapping[str, Any]]:
    """Return `medmnist.INFO`, without the line that the package prints where torch, which is not used, is missing."""
    with contextlib.redirect_stdout(io.StringIO()):
        import medmnist
    info: Mapping[str, Mapping[str, Any]] = medmnist.INFO
    return info


def suffix(size: int) -> str:
    """Return MedMNIST's suffix of file names for a size.

    Example:
        >>> suffix(28), suffix(64)
        ('', '_64')
    """
    return "" if size == 28 else f"_{size}"


def file_name(name: str, size: int) -> str:
    """Return the name of a set's file.

    Example:
        >>> file_name("breastmnist", 28), file_name("breastmnist", 224)
        ('breastmnist.npz', 'breastmnist_224.npz')
    """
    return f"{name}{suffix(size)}.npz"


def find(name: str, size: int = 28, root: str | Path = "") -> Path | None:
    """Return the first file of a set in the data roots, or None; its contents are not checked."""
    candidates = (folder / file_name(name, size) for folder in folders(root))
    return next((path for path in candidates if path.is_file()), None)


def load_medmnist(name: str, size: int = 28, root: str | Path = "") -> Dataset:
    """Load a 2-D MedMNIST set, downloading it if no data root has it.

    Args:
        name: one of `NAMES`.
        size: height and width: 28, 64, 128 or 224.
        root: a folder searched first, see `fedrobust.data.search_path.roots`.

    Raises:
        DataError: the size is not published, the file's MD5 is not the published one, or the file is missing and
            cannot be downloaded.
    """
    if size not in SIZES:
        raise DataError(f"data.size = {size}: MedMNIST has {', '.join(map(str, SIZES))}")
    about = published(name)
    found = find(name, size, root)
    if found is None:
        path = fetch(about, size, root)
    else:
        path = found
        verify(path, about.files[size][1])
    return read_published(path, about, size)


def read_published(path: Path, about: Published, size: int) -> Dataset:
    """Read a file that is known to be a published one.

    Raises:
        DataError: it cannot be read.
    """
    place = cache_folder(path)
    splits, *_ = read_splits(path, about.task)
    return Dataset(
        name=about.name,
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        label_names=about.label_names,
        task=about.task,
        disease=DISEASE.get(about.name, ()),
        source=about.files[size][0],
        licence=about.licence,
        digest=remembered(path, "sha256", lambda: digest(*splits), place),
    )


def has_published_name(path: Path) -> bool:
    """Return whether a file has the name of a published file."""
    return path.name in {file_name(name, size) for name in NAMES for size in SIZES}


def published_as(path: Path) -> tuple[Published, int] | None:
    """Return the published set that a file is, by its MD5, with its size in pixels; None for an own file."""
    for name in NAMES:
        for size in SIZES:
            if path.name == file_name(name, size) and os.path.isfile(path):
                about = published(name)
                if remembered(path, "md5", lambda: md5_of(path)) != about.files[size][1]:
                    return None
                check_sha256(path)
                return about, size
    return None


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def verify(path: Path, expected: str) -> None:
    """Compare a file's MD5 with the published one.

    Raises:
        DataError: they differ.
    """
    found = remembered(path, "md5", lambda: md5_of(path))
    if found != expected:
        raise DataError(
            f"{path}: MD5 {found}, expected {expected}: not the published file. Delete it to download it "
            f'again, or use it as your own set by its path: data.name = "{path}"'
        )
    check_sha256(path)


def check_sha256(path: Path, name: str = "") -> None:
    """Compare a published file's SHA-256 with the recorded one, if there is one.

    Args:
        path: the file.
        name: of the published file; by default that of `path`.

    Raises:
        DataError: they differ: it was made to have the published MD5.
    """
    expected = SHA256.get(name or path.name)
    if expected is None:
        return
    found = remembered(path, "file-sha256", lambda: sha256_of(path))
    if found != expected:
        raise DataError(
            f"{path}: SHA-256 {found}, expected {expected}: it has the published MD5, and is not the published file. "
            "Delete it, and do not trust where it came from"
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(about: Published, size: int, root: str | Path = "") -> Path:
    """Download a set into the first data root that can be written, and return its path.

    Raises:
        DataError: no root can be written, the download failed, or its MD5 is wrong; the message says how to
            fetch the file by hand.
    """
    name, (url, expected) = file_name(about.name, size), about.files[size]
    by_hand = f"fetch it by hand from {url} (MD5 {expected}) into one of them"
    folder = writable(root)
    if folder is None:
        raise NotHereError(
            f"{name}: not in {searched(folders(root))}, and none of {searched(roots(root))} can be written; "
            f"{by_hand}"
        )
    try:
        return download(url, folder / name, expected, SHA256.get(name, ""))
    except (OSError, HTTPException) as error:
        raise NotHereError(
            f"{name}: not in {searched(folders(root))}, and the download failed ({error}); {by_hand}"
        ) from error
