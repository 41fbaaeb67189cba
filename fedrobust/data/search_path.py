"""Where data are looked for: the folders, in order, and a file within them."""

import os
from contextlib import suppress
from pathlib import Path

from fedrobust.data.dataset import DataError

VARIABLE = "FEDROBUST_DATA"


def roots(root: str | Path = "") -> tuple[Path, ...]:
    """Return the data roots in search order: `root`, then `$FEDROBUST_DATA`, then `~/.medmnist`.

    Args:
        root: a folder that is asked first; empty for none.

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
    """Return every folder that is searched: each data root, and `medmnist/` below it."""
    return tuple(folder for top in roots(root) for folder in (top, top / "medmnist"))


def resolve(path: str | Path, base: Path | None = None, root: str | Path = "") -> Path:
    """Find a file that a study names: images or weights.

    An absolute path, or one that begins with ``~``, is taken as it is. A relative one is looked for in
    `base`, then in the current folder, then in every data root.

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
    raise DataError(f"{wanted}: no such file; searched {searched(places)}")


def weights_file(network: str, weights: str, base: Path | None = None, root: str | Path = "") -> Path | None:
    """Find the file of the weights that a model starts from.

    Args:
        network: as the study names it.
        weights: "random", "imagenet" or a file; Keras' ImageNet weights are looked for as
            ``weights/NETWORK_imagenet_notop.weights.h5`` before Keras downloads them.
        base: the study file's folder.
        root: the setting `data.root`.

    Returns:
        The file; None for random weights, and where Keras has to download.

    Raises:
        DataError: a file is named that there is not.
    """
    if weights == "random":
        return None
    if weights != "imagenet":
        return resolve(weights, base, root)
    name = IMAGENET_FILES.get(network.lower(), network)
    try:
        return resolve(f"weights/{name}_imagenet_notop.weights.h5", base, root)
    except DataError:
        return None


IMAGENET_FILES = {"mobilenetv2": "mobilenet_v2"}
"""Networks whose weights files are called otherwise than they are."""


def searched(places: list[Path] | tuple[Path, ...]) -> str:
    """Return folders as words for a message, each once.

    Example:
        >>> searched([Path("a"), Path("b"), Path("a")])
        'a, b'
    """
    return ", ".join(dict.fromkeys(str(place) for place in places))


def writable(root: str | Path = "") -> Path | None:
    """Return the first data root that can be written, made where it is missing, or None."""
    for folder in roots(root):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None
