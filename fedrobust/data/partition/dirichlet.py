"""Dirichlet partition: each class is divided in proportions drawn from a Dirichlet distribution."""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, Positive
from fedrobust.data.dataset import DataError
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, Rng, rng_of


@PARTITIONS.register("dirichlet")
@dataclass(frozen=True, kw_only=True)
class Dirichlet:
    """Divide each class in proportions drawn from Dirichlet(alpha) (Yurochkin et al., 2019, arXiv:1905.12022).

    A draw that leaves a client with fewer than `min_size` images is repaired by moving images from the largest clients.
    Drawing again until every client has enough would reduce the skew, and refuse many seeds. The lower bound and the
    balancing are those of flwr-datasets.

    Attributes:
        alpha: concentration of each class over clients. Small: each class is held by few clients; large: equal shares.
        min_size: least number of images of a client.
        self_balancing: a client with more than n / clients images gets none of the following classes.

    Example:
        >>> shards = Dirichlet(alpha=1e6, min_size=1)(np.repeat([0, 1], 400), clients=4, seed=0)
        >>> [round(len(shard), -1) for shard in shards]
        [200, 200, 200, 200]
    """

    alpha: Positive = 0.5
    min_size: Count = 10
    self_balancing: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", float(self.alpha))

    def __call__(self, labels: Labels, clients: int, seed: int) -> list[Indices]:
        """Return a shard of each client.

        Raises:
            DataError: there are too few images for the least size.
        """
        number, rng = len(labels), rng_of(seed)
        if clients * self.min_size > number:
            raise DataError(
                f"{number} images cannot give {clients} clients at least {self.min_size} each "
                f"({clients * self.min_size} needed); lower min_size to {number // clients} or federation.clients to "
                f"{max(1, number // self.min_size)}"
            )
        members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        per_class = np.array([len(indices) for indices in members])
        counts = dirichlet_counts(per_class, clients, rng, self.alpha, self.self_balancing)
        return dealt(members, repaired(counts, self.min_size), rng)


def dirichlet_counts(
    per_class: NDArray[np.int64], clients: int, rng: Rng, alpha: float, self_balancing: bool
) -> NDArray[np.int64]:
    """Draw the number of images of each class at each client, int64 (classes, clients)."""
    proportions = rng.dirichlet(np.full(clients, alpha), size=len(per_class))
    if not self_balancing:
        return divided(proportions, per_class[:, None])
    fair = per_class.sum() / clients
    counts = np.zeros((len(per_class), clients), np.int64)
    for label, images in enumerate(per_class):
        is_open = counts.sum(axis=0) <= fair
        open_to = np.where(is_open, proportions[label], 0.0)
        # With a tiny alpha all proportions may underflow to 0: the clients then get equal shares.
        if open_to.sum() == 0:
            open_to = is_open.astype(np.float64)
        counts[label] = divided(open_to, images)
    return counts


def repaired(counts: NDArray[np.int64], min_size: int) -> NDArray[np.int64]:
    """Return `counts` (classes, clients) with images moved until every client has `min_size`.

    One image at a time, the client with most images (the first of equals) gives one of its most frequent class to the
    first client that has too few. This moves as few images as possible.

    Args:
        counts: images of each class at each client; at least ``clients * min_size`` in all.
        min_size: least number of images of a client.

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
    """Divide `images` at the cumulative sum of `proportions` (..., clients), without a remainder.

    Example:
        >>> import numpy as np
        >>> divided(np.array([0.5, 0.3, 0.2]), np.int64(9)).tolist()
        [4, 3, 2]
    """
    sums = np.cumsum(proportions, axis=-1)
    # Divided by its last value the sum ends at exactly 1, so that a last client of share 0 gets no remainder.
    ends: NDArray[np.int64] = np.floor(sums / sums[..., -1:] * images).astype(np.int64)
    return np.diff(ends, axis=-1, prepend=0)


def dealt(members: list[Indices], counts: NDArray[np.int64], rng: Rng) -> list[Indices]:
    """Return each client's `counts` (classes, clients) of the shuffled `members` of each class."""
    owners = [np.repeat(np.arange(counts.shape[1]), row) for row in counts]
    images = np.concatenate([rng.permutation(indices) for indices in members])
    return grouped(images, np.concatenate(owners), counts.shape[1])


def grouped(images: Indices, owners: Indices, clients: int) -> list[Indices]:
    """Split `images` by their `owners`, 0 to clients - 1."""
    order = np.argsort(owners, kind="stable")
    return np.split(images[order], np.cumsum(np.bincount(owners, minlength=clients))[:-1])
