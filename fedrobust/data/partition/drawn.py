"""Populations larger than the data: every client draws its images independently, on demand."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from fedrobust.atomic import atomic
from fedrobust.bounds import Count, Positive
from fedrobust.data.dataset import feed
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels
from fedrobust.randomness import Purpose, generator

COUNTED = 1000
"""Number of clients whose images are counted for the report."""

SAMPLED = 10
"""Number of clients whose shards enter the hash."""

METHOD = "draw"


@PARTITIONS.register(METHOD)
@dataclass(frozen=True, kw_only=True)
class Draw:
    """Let every client draw its images independently of the others: for populations larger than the data.

    Each client draws its class proportions from Dirichlet(alpha p), where p are the classes' shares of all images, and
    then its images (Hsu et al., 2019, arXiv:1909.06335, section 3): a large alpha gives every client the proportions of
    the whole set, a small one few classes each. At equal alpha the skew is larger than that of "dirichlet", which
    divides each class over clients.

    Attributes:
        alpha: concentration of a client's class proportions.
        images_per_client: number of images of each client.

    Example:
        >>> shards = Draw(images_per_client=40)(np.repeat([0, 1], 500), clients=100_000, seed=0)
        >>> len(shards), len(shards[99_999])
        (100000, 40)
    """

    OVERLAPS: ClassVar[bool] = True
    """Clients may have the same image."""

    alpha: Positive = 0.5
    images_per_client: Count = 40

    def __call__(self, labels: Labels, clients: int, seed: int) -> "DrawnShards":
        """Return the shards, each drawn on access."""
        return DrawnShards(labels, clients, seed, float(self.alpha), self.images_per_client)


@dataclass(frozen=True, eq=False)
class DrawnShards(Sequence[Indices]):
    """The shards of a population, each drawn on access.

    Client k's images depend on the seed, on k and on the labels, not on the number of clients.

    Args:
        labels: of the training images, whole numbers from 0 (n,).
        clients: number of clients.
        seed: the study's seed.
        alpha: concentration of each client's classes.
        images: of each client.
    """

    labels: NDArray[np.integer[Any]]
    clients: int
    seed: int
    alpha: float
    images: int
    _members: tuple[Indices, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        members = tuple(np.flatnonzero(self.labels == label) for label in range(int(self.labels.max()) + 1))
        object.__setattr__(self, "_members", members)

    def __len__(self) -> int:
        return self.clients

    @overload
    def __getitem__(self, client: SupportsIndex) -> Indices: ...

    @overload
    def __getitem__(self, client: slice) -> Sequence[Indices]: ...

    def __getitem__(self, client: SupportsIndex | slice) -> Indices | Sequence[Indices]:
        if isinstance(client, slice):
            return [self[number] for number in range(*client.indices(self.clients))]
        number = client.__index__()
        if not 0 <= number < self.clients:
            raise IndexError(f"client {number}: there are clients 0 to {self.clients - 1}")
        draw = generator(self.seed, Purpose.PARTITION, partition=number)
        sizes = np.array([len(members) for members in self._members])
        held = np.flatnonzero(sizes)
        # NumPy refuses a concentration of 0, to which alpha p may underflow.
        concentration = np.maximum(self.alpha * sizes[held] / sizes.sum(), np.finfo(np.float64).tiny)
        counts = draw.multinomial(self.images, draw.dirichlet(concentration))
        drawn = [
            draw.choice(self._members[label], count, replace=bool(count > sizes[label]))
            for label, count in zip(held, counts, strict=True)
        ]
        return np.sort(np.concatenate(drawn)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Drawing:
    """The training images that each client of a large population draws.

    Two clients may draw the same image; one client draws an image twice only if it draws more images of a class than
    there are. Memory is used only for clients that are accessed.

    Args:
        shards: positions in the training split of each client, int64, ascending.

    Example:
        >>> import numpy as np
        >>> drawing = Drawing(Draw(alpha=1000.0)(np.repeat([0, 1], 500), clients=100_000, seed=0))
        >>> drawing.clients, len(drawing.shards[99_999])
        (100000, 40)
    """

    shards: DrawnShards

    @property
    def method(self) -> str:
        """The name of the method."""
        return METHOD

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the method by name."""
        return {"alpha": self.shards.alpha, "images_per_client": self.shards.images}

    @property
    def clients(self) -> int:
        """The number of clients."""
        return self.shards.clients

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of images of each client, int64 (clients,): a constant array, broadcast from one number."""
        return np.broadcast_to(np.int64(self.shards.images), self.clients)

    @property
    def unevenness(self) -> str:
        """The unevenness of the shards, as text."""
        return f"{self.shards.images} images each, which clients may share"

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Images of each class at each of the first 1,000 clients, int64 (clients, classes)."""
        labels, classes = self.shards.labels, int(self.shards.labels.max()) + 1
        first = range(min(COUNTED, self.clients))
        return np.stack(
            [np.bincount(labels[self.shards[client]], minlength=classes) for client in first]
        ).astype(np.int64)

    @cached_property
    def hash(self) -> str:
        """SHA-256 as hex over method, settings, seed, number of clients, labels and the first few shards.

        The shards are included because another version of NumPy may draw other numbers.
        """
        head = {
            "method": METHOD,
            "settings": self.settings,
            "seed": self.shards.seed,
            "clients": self.clients,
        }
        sha = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        feed(sha, self.shards.labels.astype(np.int64))
        for client in range(min(SAMPLED, self.clients)):
            feed(sha, self.shards[client])
        return sha.hexdigest()

    def to_json(self) -> str:
        """Return method, settings, hash, and the counts of the first 1,000 clients as JSON."""
        record = {
            "format": 1,
            "method": METHOD,
            "settings": self.settings,
            "seed": self.shards.seed,
            "clients": self.clients,
            "hash": self.hash,
            "counts": self.counts.tolist(),
        }
        return json.dumps(record, separators=(",", ":"))

    def write(self, path: Path) -> None:
        """Write `to_json` atomically."""
        with atomic(path) as draft:
            draft.write_text(self.to_json(), encoding="utf-8")
