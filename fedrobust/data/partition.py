"""Share the training images out among clients, as flwr-datasets does, and keep a record that can be checked.

Every image goes to exactly one client and every client gets at least one; a request that cannot be met is
refused with the numbers. The methods are registered in `PARTITIONS`; a method of one's own is a function
``(labels, clients, rng, *, its settings) -> shards`` named by a dotted path. One method, ``"draw"``, is of another kind
and stands in `fedrobust.data.drawing`: there are more clients than the images would go round for.
"""

import hashlib
import heapq
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.atomic import atomic
from fedrobust.data.dataset import DataError, feed, listed
from fedrobust.data.drawing import METHOD, Drawing, draw
from fedrobust.randomness import Purpose, generator
from fedrobust.registry import Registry, UnknownNameError

Indices = NDArray[np.int64]
Labels = NDArray[np.integer[Any]]
Rng = np.random.Generator

PARTITIONS = Registry("partition")

TRIES = 1000
"""How often `pathological` draws again before it exchanges classes."""

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Partition:
    """Which training images each client holds.

    Args:
        method: name of the method.
        settings: the settings that the method uses, by name.
        seed: the study's seed.
        shards: one array of ascending positions in the training split a client, int64; every image is in
            exactly one.
        counts: images of each class at each client, int64 (clients, classes).

    Example:
        >>> import numpy as np
        >>> shared = partition(np.array([0, 0, 0, 1, 1, 1]), clients=2, seed=3)
        >>> shared.sizes.tolist(), Partition.from_json(shared.to_json()).hash == shared.hash
        ([3, 3], True)
    """

    method: str
    settings: Mapping[str, Any]
    seed: int
    shards: tuple[Indices, ...]
    counts: NDArray[np.int64]

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self.shards)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Images a client, int64 (clients,)."""
        return np.array([len(shard) for shard in self.shards], np.int64)

    @property
    def hash(self) -> str:
        """SHA-256 as hex over method, settings, seed, counts and every shard."""
        head = {"method": self.method, "settings": dict(self.settings), "seed": self.seed}
        sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        for array in (self.counts, self.sizes, np.concatenate(self.shards)):
            feed(sha, array)
        return sha.hexdigest()

    @property
    def realised(self) -> dict[str, float]:
        """How uneven the shards came out: ``smallest``, ``largest`` and ``deviation`` of their sizes in images, and
        ``label-distance``, the mean total variation distance of a client's share of each class to all images' share, 0
        for the same mixture everywhere.
        """  # noqa: D205
        sizes = self.sizes
        mixtures = self.counts / self.counts.sum(axis=1, keepdims=True)
        whole = self.counts.sum(axis=0) / self.counts.sum()
        return {
            "smallest": int(sizes.min()),
            "largest": int(sizes.max()),
            "deviation": float(sizes.std()),
            "label-distance": float(np.abs(mixtures - whole).sum(axis=1).mean() / 2),
        }

    @property
    def unevenness(self) -> str:
        """`realised` in words, such as ``5 to 120 images each, labels 0.31 from those of all``."""
        found = self.realised
        sizes = f"{found['smallest']} to {found['largest']}" if found["deviation"] else f"{found['smallest']}"
        return f"{sizes} images each, labels {found['label-distance']:.2f} from those of all"

    def to_json(self) -> str:
        """Return the partition as JSON, with its hash and how uneven it came out."""
        record = {
            "format": FORMAT,
            "method": self.method,
            "settings": dict(self.settings),
            "seed": self.seed,
            "hash": self.hash,
            "realised": self.realised,
            "counts": self.counts.tolist(),
            "indices": [shard.tolist() for shard in self.shards],
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Partition":
        """Read a partition that `to_json` wrote.

        Raises:
            DataError: the text is no partition, or its contents do not have the hash it names.
        """
        try:
            record = json.loads(text)
            if record["format"] != FORMAT:
                raise DataError(f"partition format {record['format']!r}; allowed: {FORMAT}")
            read = cls(
                method=record["method"],
                settings=record["settings"],
                seed=record["seed"],
                shards=tuple(np.array(shard, np.int64) for shard in record["indices"]),
                counts=np.array(record["counts"], np.int64),
            )
            named, found = record["hash"], read.hash
        except DataError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise DataError(f"not a partition ({type(error).__name__}: {error})") from error
        if named != found:
            raise DataError(
                f"partition has hash {found} but names {named}: it was changed after it was written"
            )
        return read

    def write(self, path: Path) -> None:
        """Write the partition as JSON; the file appears whole or not at all."""
        with atomic(path) as draft:
            draft.write_text(self.to_json(), encoding="utf-8")


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


@PARTITIONS.register("iid")
def iid(labels: Labels, clients: int, rng: Rng) -> list[Indices]:
    """Shuffle the images and deal them out evenly; sizes differ by one at most."""
    return np.array_split(rng.permutation(len(labels)), clients)


@PARTITIONS.register("dirichlet")
def dirichlet(
    labels: Labels, clients: int, rng: Rng, *, alpha: float, min_size: int, self_balancing: bool
) -> list[Indices]:
    """Divide each class in proportions drawn from Dirichlet(alpha).

    A draw that leaves a client with fewer than `min_size` images is repaired: the largest clients give up images, and
    nothing else changes. Drawing again until every client has enough would soften the skew that was asked for, and
    refuse many seeds.

    Yurochkin et al., 2019, Bayesian Nonparametric Federated Learning of Neural Networks, arXiv:1905.12022;
    the lower bound and the balancing as in flwr-datasets.
    """
    number = len(labels)
    if not 0 < alpha < np.inf:
        raise DataError(f"data.alpha = {alpha}: allowed: above 0 and finite")
    if min_size < 1:
        raise DataError(f"data.min-size = {min_size}: allowed: 1 or more")
    if clients * min_size > number:
        fewer = number // clients
        raise DataError(
            f'data.partition = "dirichlet": {number} images cannot give {clients} clients at least '
            f"{min_size} each ({clients * min_size} needed); lower data.min-size to {fewer} or "
            f"federation.clients to {max(1, number // min_size)}"
        )
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    per_class = np.array([len(indices) for indices in members])
    counts = dirichlet_counts(per_class, clients, rng, alpha, self_balancing)
    return dealt(members, repaired(counts, min_size), rng)


def dirichlet_counts(
    per_class: NDArray[np.int64], clients: int, rng: Rng, alpha: float, self_balancing: bool
) -> NDArray[np.int64]:
    """Draw how many images of each class every client gets, int64 (classes, clients)."""
    proportions = rng.dirichlet(np.full(clients, alpha), size=len(per_class))
    # A concentration near the largest float overflows in the draw: all clients get the same in the limit.
    proportions = np.where(np.isfinite(proportions).all(axis=1, keepdims=True), proportions, 1 / clients)
    if not self_balancing:
        return divided(proportions, per_class[:, None])
    fair = per_class.sum() / clients
    counts = np.zeros((len(per_class), clients), np.int64)
    for label, images in enumerate(per_class):
        is_open = counts.sum(axis=0) <= fair
        open_to = np.where(is_open, proportions[label], 0.0)
        # With a tiny alpha every open client's proportion may underflow: they then share alike.
        if open_to.sum() == 0:
            open_to = is_open.astype(np.float64)
        counts[label] = divided(open_to, images)
    return counts


def repaired(counts: NDArray[np.int64], min_size: int) -> NDArray[np.int64]:
    """Return `counts` (classes, clients) with images moved until every client has `min_size`.

    One at a time, the client that has most images then (of equals the first) gives one of the class that it has most
    of to the first client that has too few. As few images move as can, and clients that do not take part keep theirs.

    Args:
        counts: images of each class at each client; at least ``clients * min_size`` in all.
        min_size: images that every client has at least.

    Example:
        >>> import numpy as np
        >>> repaired(np.array([[9, 0, 1], [2, 0, 4]]), 2).tolist()
        [[7, 2, 1], [2, 0, 4]]
    """
    counts = counts.copy()
    sizes = counts.sum(axis=0)
    largest = [(-int(size), client) for client, size in enumerate(sizes)]
    heapq.heapify(largest)
    for poor in np.flatnonzero(sizes < min_size):
        for _ in range(min_size - int(sizes[poor])):
            size, donor = heapq.heappop(largest)
            label = int(counts[:, donor].argmax())
            counts[label, donor] -= 1
            counts[label, poor] += 1
            heapq.heappush(largest, (size + 1, donor))
    return counts


def divided(proportions: NDArray[np.float64], images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut `images` at the running sum of `proportions` (..., clients), so that all are given away.

    Example:
        >>> import numpy as np
        >>> divided(np.array([0.5, 0.3, 0.2]), np.int64(9)).tolist()
        [4, 3, 2]
    """
    sums = np.cumsum(proportions, axis=-1)
    # Over its own last value the sum ends at exactly 1: a last client whose share is 0 gets no rounding rest.
    ends: NDArray[np.int64] = np.floor(sums / sums[..., -1:] * images).astype(np.int64)
    return np.diff(ends, axis=-1, prepend=0)


def dealt(members: list[Indices], counts: NDArray[np.int64], rng: Rng) -> list[Indices]:
    """Give every client its `counts` (classes, clients) of the shuffled `members` of each class."""
    owners = [np.repeat(np.arange(counts.shape[1]), row) for row in counts]
    images = np.concatenate([rng.permutation(indices) for indices in members])
    return grouped(images, np.concatenate(owners), counts.shape[1])


def grouped(images: Indices, owners: Indices, clients: int) -> list[Indices]:
    """Split `images` by their `owners`, 0 to clients - 1."""
    order = np.argsort(owners, kind="stable")
    return np.split(images[order], np.cumsum(np.bincount(owners, minlength=clients))[:-1])


@PARTITIONS.register("shards")
def shards(labels: Labels, clients: int, rng: Rng, *, shards_per_client: int) -> list[Indices]:
    """Sort the images by label, cut them into even blocks, and deal each client as many at random.

    McMahan et al., 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data,
    arXiv:1602.05629, section 3.
    """
    if shards_per_client < 1:
        raise DataError(f"data.shards-per-client = {shards_per_client}: allowed: 1 or more")
    blocks = clients * shards_per_client
    if blocks > len(labels):
        raise DataError(
            f'data.partition = "shards": {len(labels)} images cannot make {blocks} shards ({clients} '
            f"clients x {shards_per_client}); lower data.shards-per-client to {len(labels) // clients} or "
            f"federation.clients to {max(1, len(labels) // shards_per_client)}"
        )
    shuffled = rng.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    cut = np.array_split(by_label, blocks)
    order = rng.permutation(blocks).reshape(clients, shards_per_client)
    return [np.concatenate([cut[block] for block in row]) for row in order]


@PARTITIONS.register("pathological")
def pathological(
    labels: Labels, clients: int, rng: Rng, *, classes_per_client: int, class_assignment: str
) -> list[Indices]:
    """Give each client exactly `classes_per_client` classes; holders of a class share it evenly.

    ``"deterministic"``: client p holds the classes p, p + 1, ... modulo their number. ``"random"``: drawn
    without replacement. ``"first-deterministic"``: class p modulo their number, the others drawn. Draws are
    repeated until every class is held and none by more clients than it has images. Li et al., 2021, Federated
    Learning on Non-IID Data Silos: An Experimental Study, arXiv:2102.02079.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    classes = len(members)
    if not 1 <= classes_per_client <= classes:
        raise DataError(
            f"data.classes-per-client = {classes_per_client}: allowed: 1 to {classes}, the number of classes"
        )
    if class_assignment not in ASSIGNMENTS:
        raise DataError(
            f'data.class-assignment = "{class_assignment}": choose one of: {", ".join(ASSIGNMENTS)}'
        )
    if clients * classes_per_client < classes:
        raise DataError(
            f'data.partition = "pathological": {clients} clients with {classes_per_client} classes each '
            f"cannot hold all {classes} classes; raise data.classes-per-client to {-(-classes // clients)} "
            f"or federation.clients to {-(-classes // classes_per_client)}"
        )
    per_class = np.array([len(indices) for indices in members])
    holds = held(per_class, clients, classes_per_client, class_assignment, rng)
    parts: list[list[Indices]] = [[] for _ in range(clients)]
    for label, indices in enumerate(members):
        holders = np.flatnonzero(holds[:, label])
        for client, part in zip(holders, np.array_split(rng.permutation(indices), len(holders)), strict=True):
            parts[client].append(part)
    return [np.concatenate(part) for part in parts]


def held(
    per_class: NDArray[np.int64], clients: int, classes_per_client: int, assignment: str, rng: Rng
) -> NDArray[np.bool_]:
    """Return which classes each client holds, bool (clients, classes)."""
    classes = len(per_class)
    for _ in range(1 if assignment == "deterministic" else TRIES):
        chosen = ASSIGNMENTS[assignment](clients, classes, rng)[:, :classes_per_client]
        holds = np.zeros((clients, classes), np.bool_)
        np.put_along_axis(holds, chosen, True, axis=1)
        holders = holds.sum(axis=0)
        if holders.min() > 0 and (holders <= per_class).all():
            return holds
    if assignment != "deterministic" and (rehoused := spread(holds, per_class)) is not None:
        return rehoused
    if holders.min() == 0:
        raise DataError(
            f'data.partition = "pathological": with data.class-assignment = "{assignment}", {clients} '
            f"clients with {classes_per_client} classes each left class "
            f"{listed(np.flatnonzero(holders == 0).tolist())} to nobody; raise data.classes-per-client or "
            "federation.clients"
        )
    crowded = int(np.argmax(holders - per_class))
    raise DataError(
        f'data.partition = "pathological": class {crowded} has {per_class[crowded]} images but '
        f"{holders[crowded]} of {clients} clients would share it; lower federation.clients or "
        "data.classes-per-client"
    )


def spread(holds: NDArray[np.bool_], per_class: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Return `holds` with classes exchanged until each is held, by no more clients than it has images.

    One at a time, a holder of the most crowded class takes the emptiest instead. None where that comes to no end.

    Args:
        holds: which classes each client holds, bool (clients, classes).
        per_class: images of each class.
    """
    holds = holds.copy()
    for _ in range(holds.size):
        holders = holds.sum(axis=0)
        room = per_class - holders
        if holders.min() > 0 and room.min() >= 0:
            return holds
        wanted = int(holders.argmin()) if holders.min() == 0 else int(room.argmax())
        givers = holders > 1 if holders.min() == 0 else room < 0
        for crowded in np.argsort(room, kind="stable"):
            movable = np.flatnonzero(holds[:, crowded] & ~holds[:, wanted])
            if givers[crowded] and room[wanted] > 0 and len(movable):
                holds[movable[0], [crowded, wanted]] = False, True
                break
        else:
            return None
    return None


def random_classes(clients: int, classes: int, rng: Rng) -> Indices:
    """Return a random order of the classes for every client, (clients, classes)."""
    return np.argsort(rng.random((clients, classes)), axis=1)


def consecutive_classes(clients: int, classes: int, rng: Rng) -> Indices:
    """Return the classes in turn, client p beginning with p modulo their number."""
    return (np.arange(clients)[:, None] + np.arange(classes)) % classes


def first_class_in_turn(clients: int, classes: int, rng: Rng) -> Indices:
    """Return class p modulo their number first, then the others in random order."""
    keys = rng.random((clients, classes))
    keys[np.arange(clients), np.arange(clients) % classes] = -1.0
    return np.argsort(keys, axis=1)


ASSIGNMENTS: dict[str, Callable[[int, int, Rng], Indices]] = {
    "random": random_classes,
    "deterministic": consecutive_classes,
    "first-deterministic": first_class_in_turn,
}
"""How `pathological` chooses the order in which a client would take the classes."""


@PARTITIONS.register("quantity")
def quantity(labels: Labels, clients: int, rng: Rng, *, skew: str) -> list[Indices]:
    """Shuffle the images and give client k = 1 to K a share in proportion to k, k² or e^k.

    Shares are rounded down and what is left goes to the last and largest client, as in flwr-datasets'
    Linear-, Square- and ExponentialPartitioner.
    """
    if skew not in SKEWS:
        raise DataError(f'data.skew = "{skew}": choose one of: {", ".join(SKEWS)}')
    sizes = quantities(len(labels), clients, skew)
    if sizes[0] < 1:
        most = next(few for few in range(clients - 1, 0, -1) if quantities(len(labels), few, skew)[0] >= 1)
        raise DataError(
            f'data.partition = "quantity": {len(labels)} images with data.skew = "{skew}" leave the first '
            f"of {clients} clients none; lower federation.clients to {most}"
            + ("" if skew == "linear" else ' or choose data.skew = "linear"')
        )
    return np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1])


def quantities(images: int, clients: int, skew: str) -> NDArray[np.int64]:
    """Return the number of images of every client, int64 (clients,).

    Example:
        >>> quantities(55, 4, "linear").tolist(), quantities(60, 4, "square").tolist()
        ([5, 11, 16, 23], [2, 8, 18, 32])
    """
    weights = SKEWS[skew](np.arange(1, clients + 1, dtype=np.float64))
    # The small term keeps 6 / 60 x 10 from being rounded down to 0.999... and then to 0.
    sizes: NDArray[np.int64] = np.floor(images * weights / weights.sum() + 1e-9).astype(np.int64)
    sizes[-1] += images - sizes.sum()
    return sizes


def exponential(rank: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return e^k up to a common factor, which keeps a thousand clients within float64."""
    weights: NDArray[np.float64] = np.exp(rank - rank[-1])
    return weights


SKEWS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "linear": lambda rank: rank,
    "square": np.square,
    "exponential": exponential,
}
"""From a client's rank, 1 to K, to its weight."""
