"""IID partition: random shards of equal size."""

from dataclasses import dataclass

import numpy as np

from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, rng_of


@PARTITIONS.register("iid")
@dataclass(frozen=True, kw_only=True)
class IID:
    """Shuffle the images and divide them evenly (McMahan et al., 2016, arXiv:1602.05629, section 3).

    Example:
        >>> [len(shard) for shard in IID()(np.zeros(7, int), clients=3, seed=0)]
        [3, 2, 2]
    """

    def __call__(self, labels: Labels, clients: int, seed: int) -> list[Indices]:
        """Return shards whose sizes differ by at most one."""
        return np.array_split(rng_of(seed).permutation(len(labels)), clients)
