"""Blocks of images sorted by label."""

import numpy as np

from fedrobust.data.dataset import DataError
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, Rng


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
