"""Apply a partition method to the training images, and check its shards.

Every image goes to exactly one client and every client gets at least one, unless the method lets clients draw images
independently. A request that cannot be met is refused with the numbers.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError, listed
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, Method
from fedrobust.data.partition.drawn import Drawing, DrawnShards
from fedrobust.data.partition.record import Partition
from fedrobust.data.sites import Sites
from fedrobust.errors import told
from fedrobust.spec import Spec, SpecError, build, settings_of


def partition(
    labels: Labels,
    clients: int,
    method: str = "iid",
    *,
    seed: int = 0,
    sites: Sites | None = None,
    count: Callable[[Labels], NDArray[np.int64]] | None = None,
    **settings: Any,
) -> Partition | Drawing:
    """Partition the training images over clients.

    Names, meaning and defaults of methods are those of flwr-datasets.

    Args:
        labels: labels of the training images, whole numbers (n,).
        clients: number of clients.
        method: a spec, as in ``"dirichlet(alpha=0.3)"``; a dotted path names a class of settings like those of this
            package, or a function ``(labels, clients, seed, **settings) -> shards``.
        seed: the study's seed.
        sites: of the training images, for methods that need them.
        count: returns the number of images of each class or finding; None: labels are classes.
        settings: of the method, beside those of the spec.

    Raises:
        SpecError, UnknownNameError: there is no such method, or it takes other settings.
        DataError: the request cannot be met.

    Example:
        >>> import numpy as np
        >>> shared = partition(np.repeat([0, 1], 30), 4, "quantity(skew='linear')")
        >>> shared.sizes.tolist(), shared.settings
        ([6, 12, 18, 24], {'skew': 'linear'})
    """
    labels = np.asarray(labels)
    check_labels(labels)
    if clients < 1:
        raise DataError(f"federation.clients = {clients}: at least 1 is needed")
    spec = Spec.parse(method)
    spec = Spec(spec.name, {**spec.settings, **settings})
    divide, name = method_named(str(spec)), PARTITIONS.known(spec.name) or spec.name
    if clients > len(labels) and not getattr(divide, "OVERLAPS", False):
        raise DataError(
            f'data.partition = "{spec}": {len(labels)} images cannot give {clients} clients at least 1 each; lower '
            f'federation.clients to {len(labels)}, or choose data.partition = "draw"'
        )
    try:
        needed = {"sites": sites} if getattr(divide, "NEEDS_SITES", False) else {}
        shards = divide(labels, clients, seed, **needed)
    except DataError as error:
        raise DataError(f'data.partition = "{spec}": {error}') from error
    except (Exception, SystemExit) as error:  # a user's own method
        raise DataError(f'data.partition = "{spec}": it fails: {told(error)}') from error
    if isinstance(shards, DrawnShards):
        return Drawing(shards)
    named = {"names": list(sites.names)} if needed and sites else {}
    if count is None:
        count = partial(np.bincount, minlength=int(labels.max()) + 1)
    return checked(name, {**recorded_settings(divide, spec), **named}, seed, labels, clients, shards, count)


def method_named(spec: str) -> Method | Callable[..., Sequence[Indices]]:
    """Return the method that a study file names.

    Raises:
        SpecError, UnknownNameError: there is no such method, or it takes other settings.
    """
    parsed = Spec.parse(spec)
    found = PARTITIONS[parsed.name]
    if inspect.isfunction(found):
        return partial(found, **parsed.settings)
    made: Method = build(PARTITIONS, spec)
    if not callable(made):
        raise SpecError(
            f"{spec}: neither a function (labels, clients, seed) -> shards nor a class of such ones"
        )
    return made


def recorded_settings(method: Any, spec: Spec) -> dict[str, Any]:
    """Return all settings of a dataclass, including defaults; of a function those that the study gives."""
    known = settings_of(type(method))
    if known is None:
        return dict(spec.settings)
    return {field.name: getattr(method, field.name) for field in dataclasses.fields(method) if field.init}


def check_labels(labels: Labels) -> None:
    """Raise a DataError unless labels are whole numbers from 0, (n,) with n > 0."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0:
        raise DataError(
            f"labels has dtype {labels.dtype} and shape {labels.shape}; allowed: integers from 0, (n,)"
        )


def checked(
    method: str,
    settings: Mapping[str, Any],
    seed: int,
    labels: Labels,
    clients: int,
    shards: Sequence[Indices],
    count: Callable[[Labels], NDArray[np.int64]],
) -> Partition:
    """Return shards as a `Partition`.

    Raises:
        DataError: an image is in no shard or in two, or a shard is empty (by a user's own method).
    """
    try:
        ordered = tuple(np.sort(np.asarray(shard, np.int64).reshape(-1)) for shard in shards)
    except (TypeError, ValueError) as error:
        raise DataError(
            f'data.partition = "{method}" returned no shards: allowed: for each client the whole numbers of its images '
            f"({told(error)})"
        ) from error
    if len(ordered) != clients:
        raise DataError(f'data.partition = "{method}" made {len(ordered)} shards for {clients} clients')
    empty = [client for client, shard in enumerate(ordered) if not len(shard)]
    if empty:
        raise DataError(f'data.partition = "{method}" left client {listed(empty)} without images')
    if not np.array_equal(np.sort(np.concatenate(ordered)), np.arange(len(labels))):
        raise DataError(
            f'data.partition = "{method}" did not put each of {len(labels)} images into one shard exactly'
        )
    counts = np.stack([count(labels[shard]) for shard in ordered]).astype(np.int64)
    return Partition(method, settings, seed, ordered, counts)
