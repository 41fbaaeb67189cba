"""Features on disk: one file for each array of images, named by a digest of all dependencies, with a checksum."""

import hashlib
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from fedrobust.atomic import atomic
from fedrobust.cache_root import cache_root

KEPT_SECONDS = 30 * 86_400.0
"""Files that were not read for this long are removed when a new one is written."""


class FeatureCacheNotice(UserWarning):
    """The cache folder cannot be used, so that every process computes features anew."""


def read_features(name: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the features in file `name`, float32, read-only; None if the file is missing or damaged.

    Args:
        name: of the file.
        shape: expected shape (images, features).
    """
    path = _place(name)
    try:
        content = path.read_bytes()
        path.touch()
    except OSError:
        return None
    digest, body = content[:32], content[32:]
    if len(body) != 4 * shape[0] * shape[1] or hashlib.sha256(body).digest() != digest:
        return None
    return np.frombuffer(body, "<f4").reshape(shape)


def write_features(name: str, features: np.ndarray) -> None:
    """Write `features` as file `name` atomically; if that fails, the next process computes them again.

    Warns:
        FeatureCacheNotice: the cache folder cannot be written.
    """
    path, body = _place(name), np.ascontiguousarray(features, "<f4").tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with atomic(path) as draft:
            draft.write_bytes(hashlib.sha256(body).digest() + body)
    except OSError as error:
        warnings.warn(
            f"{path.parent}: features cannot be kept there ({error}); set FEDROBUST_CACHE to a folder with room",
            FeatureCacheNotice,
            stacklevel=2,
        )


def _place(name: str) -> Path:
    return cache_root() / "features" / f"{name}.f32"


def _sweep(folder: Path) -> None:
    for file in folder.glob("*.f32"):
        # Another process may remove it at the same time.
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > KEPT_SECONDS:
                file.unlink()
