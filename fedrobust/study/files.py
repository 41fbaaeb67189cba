"""The files that a study reads: images, network, weights; whether they have changed since."""

from collections.abc import Iterator
from pathlib import Path

from fedrobust.config import Experiment
from fedrobust.config.sections import Data
from fedrobust.data import medmnist
from fedrobust.data.dataset import DataError
from fedrobust.data.search_path import resolve, weights_file
from fedrobust.models.network_file import is_network_file

Stamp = tuple[str, int, int]

Stamps = tuple[Stamp, ...]


def stamp(path: Path) -> Stamp:
    """Return path, size and time of the last change of a file; size -1 if it does not exist.

    Example:
        >>> stamp(Path("/none.npz"))
        ('/none.npz', -1, 0)
    """
    try:
        about = path.stat()
    except OSError:
        return str(path), -1, 0
    return str(path), about.st_size, about.st_mtime_ns


def stamps_of(experiment: Experiment) -> Stamps:
    """Return the stamps of the files that a study reads; one that does not exist is left out.

    Example:
        >>> stamps_of(Experiment.of())
        ()
    """
    return tuple(_stamps(experiment))


def stamps_of_data(name: str, data: Data, base: Path | None) -> Stamps:
    """Return the stamp of the file of a data set; nothing for the phantom set and where there is no file.

    Args:
        name: of the data set, or the path of an ``.npz`` file.
        data: settings of ``[data]``.
        base: folder that relative paths are resolved against first.
    """
    known = name.lower()
    if known.endswith(".npz"):
        return _of_named(name, data, base)
    found = medmnist.find(known, data.size, data.root) if known in medmnist.NAMES else None
    return () if found is None else (stamp(found),)


def _stamps(experiment: Experiment) -> Iterator[Stamp]:
    data, model, base = experiment.data, experiment.model, Path(experiment.base) if experiment.base else None
    for name in (*(data.clients or [data.name]), experiment.distillation.public):
        yield from stamps_of_data(name, data, base)
    if is_network_file(model.name):
        yield from _of_named(model.name, data, base)
    try:
        weights = weights_file(model.name, model.weights, base, data.root)
    except DataError:
        return
    if weights is not None:
        yield stamp(weights)


def _of_named(name: str, data: Data, base: Path | None) -> Stamps:
    try:
        return (stamp(resolve(name, base, data.root)),)
    except DataError:
        return ()
