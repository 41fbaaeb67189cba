"""The contract of partition methods, and their registry."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedrobust.randomness import Purpose, generator
from fedrobust.registry import Registry

Indices = NDArray[np.int64]
Labels = NDArray[np.integer[Any]]
Rng = np.random.Generator

PARTITIONS = Registry("partition", "fedrobust.data.partition")


class Method(Protocol):
    """A frozen dataclass of settings that is called; a user's own may be a plain function.

    A method puts every image into exactly one shard, none of which is empty. A request that cannot be met raises a
    `DataError` with the numbers.
    """

    def __call__(self, labels: Labels, clients: int, seed: int) -> Sequence[Indices]:
        """Return the positions of each client's images, in any order.

        Args:
            labels: of the training images, whole numbers from 0, (n,).
            clients: number of shards, at most n.
            seed: the study's; the same seed gives the same shards.
        """
        ...


def rng_of(seed: int) -> Rng:
    """Return the random generator of a study's partition."""
    return generator(seed, Purpose.PARTITION)
