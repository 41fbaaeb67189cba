"""Share the training images out among clients, as flwr-datasets does.

Every image goes to exactly one client and every client gets at least one; a request that cannot be met is refused with
the numbers. A method of one's own is a function ``(labels, clients, rng, *, its settings) -> shards`` named by a dotted
path. One method, ``"draw"``, is of another kind and stands in `fedrobust.data.partition.drawn`: there are more clients
than the images would go round for.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fedrobust.data.dataset import DataError, listed
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels
from fedrobust.data.partition.drawn import METHOD, Drawing, draw
from fedrobust.data.partition.record import Partition
from fedrobust.randomness import Purpose, generator
from fedrobust.registry import UnknownNameError


def partition(
    labels: Labels,
    clients: int,
    method: str = "iid",
    *,
    seed: int = 0,
    alpha: float = 0.5,
    min_size: int = 10,
    self_balancing: bool = False,
    classes_per_client: int = 2,
    class_assignment: str = "random",
    shards_per_client: int = 2,
    skew: str = "linear",
    images_per_client: int = 40,
) -> Partition | Drawing:
    """Divide the training images among clients.

    Names, meaning and defaults are those of flwr-datasets; only the settings of the chosen method are used
    and kept. Two things differ, since every image goes to exactly one client here: `shards` lets block sizes
    differ by one instead of leaving a remainder out, and `pathological` draws again until every class is held
    by somebody.

    Args:
        labels: labels of the training images, whole numbers (n,).
        clients: number of clients.
        method: ``"iid"``, ``"dirichlet"``, ``"shards"``, ``"pathological"``, ``"quantity"`` or a dotted path;
            or ``"draw"``, where clients draw their images and may share them (see `Drawing`).
        seed: the study's seed.
        alpha: dirichlet: concentration; small: each class sits with few clients; large: alike everywhere.
            draw: concentration of one client's classes, times their shares: the same number is more skewed there.
        min_size: dirichlet: images that every client has at least.
        self_balancing: dirichlet: a client with more than its fair share gets nothing of the classes that
            follow.
        classes_per_client: pathological: number of classes that each client has, exactly.
        class_assignment: pathological: ``"random"``, ``"deterministic"`` or ``"first-deterministic"``.
        shards_per_client: shards: blocks of label-sorted images a client.
        skew: quantity: size of client k = 1 to K in proportion to k (``"linear"``), k² (``"square"``) or
            e^k (``"exponential"``).
        images_per_client: draw: images that every client draws.

    Raises:
        DataError: the request cannot be met.

    Example:
        >>> import numpy as np
        >>> shared = partition(np.repeat([0, 1], 30), 4, "quantity", skew="linear")
        >>> shared.sizes.tolist(), shared.settings
        ([6, 12, 18, 24], {'skew': 'linear'})
    """
    labels = np.asarray(labels)
    check_labels(labels)
    if clients < 1:
        raise DataError(f"federation.clients = {clients}: at least 1 is needed")
    if method == METHOD:
        return draw(labels, clients, seed, alpha, images_per_client)
    if clients > len(labels):
        raise DataError(
            f'data.partition = "{method}": {len(labels)} images cannot give {clients} clients at least 1 '
            f"each; lower federation.clients to {len(labels)}, or choose data.partition = 'draw'"
        )
    given = {
        "alpha": float(alpha),
        "min_size": min_size,
        "self_balancing": self_balancing,
        "classes_per_client": classes_per_client,
        "class_assignment": class_assignment,
        "shards_per_client": shards_per_client,
        "skew": skew,
    }
    divide = method_named(method)
    settings = {name: given[name] for name in own_settings(method, divide, given)}
    shards = divide(labels, clients, generator(seed, Purpose.PARTITION), **settings)
    return checked(method, settings, seed, labels, clients, shards)


def check_labels(labels: Labels) -> None:
    """Raise a DataError unless labels are whole numbers from 0, (n,) with n > 0."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0:
        raise DataError(
            f"labels has dtype {labels.dtype} and shape {labels.shape}; allowed: integers from 0, (n,)"
        )


def method_named(method: str) -> Callable[..., Sequence[Indices]]:
    """Return the function behind a method's name."""
    try:
        found: Callable[..., Sequence[Indices]] = PARTITIONS[method]
    except UnknownNameError as error:
        raise DataError(f"data.partition: {error}") from error
    return found


def own_settings(
    method: str, divide: Callable[..., Sequence[Indices]], given: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the settings that a method asks for: its keyword-only arguments."""
    parameters = inspect.signature(divide).parameters.values()
    names = tuple(each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY)
    strangers = [name for name in names if name not in given]
    if strangers:
        raise DataError(
            f'data.partition = "{method}" asks for the setting {strangers[0]!r}; there are: '
            f"{', '.join(given)}"
        )
    return names


def checked(
    method: str,
    settings: Mapping[str, Any],
    seed: int,
    labels: Labels,
    clients: int,
    shards: Sequence[Indices],
) -> Partition:
    """Return shards as a `Partition`.

    Raises:
        DataError: an image is in none or in two of them, or one is empty: a method of one's own may be wrong.
    """
    ordered = tuple(np.sort(np.asarray(shard, np.int64)) for shard in shards)
    if len(ordered) != clients:
        raise DataError(f'data.partition = "{method}" made {len(ordered)} shards for {clients} clients')
    empty = [client for client, shard in enumerate(ordered) if not len(shard)]
    if empty:
        raise DataError(f'data.partition = "{method}" left client {listed(empty)} without images')
    if not np.array_equal(np.sort(np.concatenate(ordered)), np.arange(len(labels))):
        raise DataError(
            f'data.partition = "{method}" did not put each of {len(labels)} images into one shard exactly'
        )
    classes = int(labels.max()) + 1
    counts = np.stack([np.bincount(labels[shard], minlength=classes) for shard in ordered]).astype(np.int64)
    return Partition(method, settings, seed, ordered, counts)
