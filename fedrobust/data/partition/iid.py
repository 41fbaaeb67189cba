"""Images dealt out evenly."""

import numpy as np

from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, Rng


@PARTITIONS.register("iid")
def iid(labels: Labels, clients: int, rng: Rng) -> list[Indices]:
    """Shuffle the images and deal them out evenly; sizes differ by one at most."""
    return np.array_split(rng.permutation(len(labels)), clients)
