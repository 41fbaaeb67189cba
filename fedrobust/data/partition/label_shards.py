"""Label-shard partition: blocks of images sorted by label."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Count
from fedrobust.data.dataset import DataError
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, rng_of


@PARTITIONS.register("shards")
@dataclass(frozen=True, kw_only=True)
class LabelShards:
    """Sort the images by label, divide them into even blocks, and assign each client random blocks.

    McMahan et al., 2016, Communication-Efficient Learning of Deep Networks from Decentralized Data,
    arXiv:1602.05629, section 3. Block sizes may differ by one, where flwr-datasets drops the remainder.

    Attributes:
        shards_per_client: number of blocks of each client.

    Example:
        >>> labels = np.repeat([0, 1, 2, 3], 5)
        >>> [len(set(labels[shard])) for shard in LabelShards(shards_per_client=1)(labels, clients=4, seed=0)]
        [1, 1, 1, 1]
    """

    shards_per_client: Count = 2

    def __call__(self, labels: Labels, clients: int, seed: int) -> list[Indices]:
        """Return a shard of each client.

        Raises:
            DataError: there are fewer images than blocks.
        """
        blocks, rng = clients * self.shards_per_client, rng_of(seed)
        if blocks > len(labels):
            raise DataError(
                f"{len(labels)} images cannot make {blocks} shards ({clients} clients x {self.shards_per_client}); "
                f"lower shards_per_client to {len(labels) // clients} or federation.clients to "
                f"{max(1, len(labels) // self.shards_per_client)}"
            )
        shuffled = rng.permutation(len(labels))
        by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
        cut = np.array_split(by_label, blocks)
        order = rng.permutation(blocks).reshape(clients, self.shards_per_client)
        return [np.concatenate([cut[block] for block in row]) for row in order]
