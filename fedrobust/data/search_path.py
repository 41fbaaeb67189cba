"""The search path of data and weights files."""

import os
from contextlib import suppress
from pathlib import Path

from fedrobust.data.dataset import DataError
from fedrobust.data.volumes import VOLUMES, is_volume_name

VARIABLE = "FEDROBUST_DATA"


def roots(root: str | Path = "") -> tuple[Path, ...]:
    """Return the data roots in search order: `root`, then `$FEDROBUST_DATA`, then `~/.medmnist`.

    Args:
        root: a folder that is searched first; empty: none.

    Example:
        >>> roots("/srv/images")[0].as_posix(), roots()[-1].name
        ('/srv/images', '.medmnist')
    """
    given = [home_of(folder) for folder in (root, os.environ.get(VARIABLE, "")) if str(folder)]
    with suppress(RuntimeError):  # a user without a home folder, as in some containers
        given.append(Path.home() / ".medmnist")
    return tuple(dict.fromkeys(given))


def home_of(path: str | Path) -> Path:
    """Return a path with ``~`` replaced by the home folder.

    Raises:
        DataError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{path}: there is no such user") from error


def folders(root: str | Path = "") -> tuple[Path, ...]:
    """Return all searched folders: each data root, and `medmnist/` below it."""
    return tuple(folder for top in roots(root) for folder in (top, top / "medmnist"))


def seen_from(folder: Path, name: str, root: str | Path = "") -> str:
    """Return how a study file in `folder` names the data file that `name` is for who is in the current folder.

    Where it is searched, the folder of the study comes first: another file of that name there is another data set.

    Args:
        folder: of the study file.
        name: a path that ends in ``.npz``, or the name of a data set, which stays as it is.
        root: the setting `data.root`, see `roots`.

    Example:
        >>> seen_from(Path("/studies"), "breastmnist")
        'breastmnist'
    """
    if not name.endswith(".npz") or home_of(name).is_absolute():
        return name
    found = resolve(name, root=root).absolute()
    if (folder / name).is_file():
        return name if (folder / name).samefile(found) else os.path.relpath(found, folder)
    return os.path.relpath(found, folder) if Path(name).is_file() else name


def resolve(path: str | Path, base: Path | None = None, root: str | Path = "") -> Path:
    """Find a file that a study names: images or weights.

    An absolute path, or one that begins with ``~``, is used as it is. A relative one is searched in `base`, then in
    the current folder, then in every data root.

    Args:
        path: the file as the study names it.
        base: the study file's folder.
        root: the setting `data.root`, see `roots`.

    Raises:
        DataError: there is no such file; the message lists every folder searched.
    """
    wanted = home_of(path)
    places = [Path()] if wanted.is_absolute() else [*([base] if base else []), Path.cwd(), *folders(root)]
    for place in places:
        if os.path.isfile(place / wanted):
            return place / wanted
    folder = next((place / wanted for place in places if os.path.isdir(place / wanted)), None)
    if folder is not None:
        raise DataError(f"{folder}: a folder; name a file")
    if wanted.is_absolute():
        raise DataError(f"{wanted}: no such file")
    if is_volume_name(str(path)):
        raise DataError(f"{wanted}: not offered: {VOLUMES}")
    raise DataError(f"{wanted}: no such file; searched {searched(places)}")


def weights_file(network: str, weights: str, base: Path | None = None, root: str | Path = "") -> Path | None:
    """Find the file of a model's initial weights.

    Args:
        network: as the study names it.
        weights: "random", "imagenet", "file" or a file; Keras' ImageNet weights are searched as
            ``weights/NETWORK_imagenet_notop.weights.h5`` before Keras downloads them.
        base: the study file's folder.
        root: the setting `data.root`.

    Returns:
        The file; None for random weights, for those of the network's own file, and for those that Keras downloads.

    Raises:
        DataError: the named file does not exist.
    """
    if weights in ("random", "file"):
        return None
    if weights != "imagenet":
        return resolve(weights, base, root)
    name = network.rpartition(":")[2].lower()
    name = IMAGENET_FILES.get(name, name)
    try:
        return resolve(f"weights/{name}_imagenet_notop.weights.h5", base, root)
    except DataError:
        return None


IMAGENET_FILES = {"mobilenetv2": "mobilenet_v2"}
"""Architectures whose weights files have another name."""


def searched(places: list[Path] | tuple[Path, ...]) -> str:
    """Return folders as text for a message, each once.

    Example:
        >>> searched([Path("a"), Path("b"), Path("a")])
        'a, b'
    """
    return ", ".join(dict.fromkeys(str(place) for place in places))


def writable(root: str | Path = "") -> Path | None:
    """Return the first data root that can be written, created if missing; None if there is none."""
    for folder in roots(root):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None
