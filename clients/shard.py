"""A client's images: from the study's partition in a simulation, from its own file in a real federation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedrobust.data.dataset import DataError, Split
from fedrobust.data.npz import read_arrays, read_split
from fedrobust.data.problem import Problem
from fedrobust.data.search_path import home_of
from fedrobust.errors import ConfigError
from fedrobust.memoize import memoize


def client_id_of(node_config: Mapping[str, Any]) -> int:
    """Return the client number of a node.

    Raises:
        ConfigError: the node's configuration has no whole number ``partition-id``.
    """
    number = node_config.get("partition-id")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ConfigError(
            f"node config partition-id = {number!r}: a whole number from 0, such as --node-config "
            "\"partition-id=0 data-path='/data/mine.npz'\""
        )
    return number


def shard(node_config: Mapping[str, Any], simulated: Callable[[int], Split], problem: Problem) -> Split:
    """Return a node's training images: those of ``data-path`` in its configuration, else its part of the study's.

    Args:
        node_config: of the node; with ``takes``, `Problem.words` of what its site takes, before its images are read.
        simulated: returns the shard of a client in a simulation.
        problem: image shape and number of classes of the study.

    Raises:
        DataError: the file cannot be read, or its images and labels are not those of the study.
        ConfigError: the study has no such client, or is not what the site takes.
    """
    path = node_config.get("data-path")
    if path is None:
        return simulated(client_id_of(node_config))
    # A server that may name any number of classes would find the largest label by those that are refused.
    if (takes := node_config.get("takes", problem.words)) != problem.words:
        raise ConfigError(
            f"the study is on images of {problem.words}, this site takes {takes} (image-shape and label-names in "
            "site.toml): change them there if its file is for this study"
        )
    own = own_shard(home_of(str(path)), problem.classes if problem.multilabel else 0)
    if own.images.shape[1:] != problem.image_shape:
        raise DataError(
            f"{path}: train_images are {own.images.shape[1:]}, the study's are {problem.image_shape}: resize them"
        )
    if own.labels.max() >= problem.labels:
        raise DataError(
            f"{path}: train_labels go up to {own.labels.max()}, the study has classes 0 to {problem.classes - 1}"
        )
    return own


@memoize()
def own_shard(path: Path, findings: int = 0) -> Split:
    """Read ``train_images`` and ``train_labels`` from a hospital's own ``.npz`` file; nothing else in it is read.

    Args:
        path: the file.
        findings: of a multi-label study; 0: an image has one class.

    Raises:
        DataError: the file or an array is missing, or an array has a wrong shape or dtype.
    """
    names = ("train_images", "train_labels")
    images, labels = read_arrays(path, names).values()
    return read_split(path, "train", images, labels, findings)
