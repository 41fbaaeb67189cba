"""Partition by site: each client is a hospital of the data set."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.data.dataset import DataError
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels
from fedrobust.data.sites import Sites


@PARTITIONS.register("site")
@dataclass(frozen=True, kw_only=True)
class BySite:
    """Give each client the training images of one site, as the data set records it; nothing is drawn.

    Clients are numbered in the order of the sites' names. flwr-datasets calls it the natural-id partition.

    Example:
        >>> sites = Sites.of(np.array(["north", "east", "north"]))
        >>> [shard.tolist() for shard in BySite()(np.array([0, 1, 1]), clients=2, seed=0, sites=sites)]
        [[1], [0, 2]]
    """

    NEEDS_SITES: ClassVar[bool] = True

    def __call__(self, labels: Labels, clients: int, seed: int, sites: Sites | None = None) -> list[Indices]:
        """Return a shard of each site.

        Args:
            labels: of the training images, (n,).
            clients: as many as there are sites.
            seed: not used.
            sites: of the training images.

        Raises:
            DataError: the sites are unknown, or not as many as the clients.
        """
        if sites is None:
            raise DataError(
                "the data set does not record sites; save the name of each training image's site as train_site, "
                "(n,), in the .npz, or choose another partition"
            )
        if clients != len(sites.names):
            raise DataError(
                f"{len(sites.names)} sites ({sites.listed}) and federation.clients = {clients}; set "
                f"federation.clients = {len(sites.names)}"
            )
        return [np.flatnonzero(sites.rows == site) for site in range(len(sites.names))]
