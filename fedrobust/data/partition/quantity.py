"""Quantity-skew partition: shares that grow from client to client."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, rng_of


@PARTITIONS.register("quantity")
@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Shuffle the images and give client k = 1 to K a share proportional to k, k² or e^k.

    Shares are rounded down and the remainder goes to the last and largest client, as in flwr-datasets'
    Linear-, Square- and ExponentialPartitioner.

    Attributes:
        skew: growth of shares: "linear" (k), "square" or "exponential".

    Example:
        >>> [len(shard) for shard in Quantity(skew="linear")(np.zeros(10, int), clients=4, seed=0)]
        [1, 2, 3, 4]
    """

    skew: Literal["linear", "square", "exponential"] = "linear"

    def __call__(self, labels: Labels, clients: int, seed: int) -> list[Indices]:
        """Return a shard of each client.

        Raises:
            DataError: the first client is left without images.
        """
        sizes = quantities(len(labels), clients, self.skew)
        if sizes[0] < 1:
            most = next(
                few for few in range(clients - 1, 0, -1) if quantities(len(labels), few, self.skew)[0] >= 1
            )
            raise DataError(
                f'{len(labels)} images with skew = "{self.skew}" leave the first of {clients} clients none; lower '
                f"federation.clients to {most}"
                + ("" if self.skew == "linear" else ' or choose skew = "linear"')
            )
        return np.split(rng_of(seed).permutation(len(labels)), np.cumsum(sizes)[:-1])


def quantities(images: int, clients: int, skew: str) -> NDArray[np.int64]:
    """Return the number of images of every client, int64 (clients,).

    Example:
        >>> quantities(55, 4, "linear").tolist(), quantities(60, 4, "square").tolist()
        ([5, 11, 16, 23], [2, 8, 18, 32])
    """
    weights = SKEWS[skew](np.arange(1, clients + 1, dtype=np.float64))
    # The small term keeps 6 / 60 x 10 = 0.999... from being rounded down to 0.
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
"""Name of `skew` -> function from a client's rank, 1 to K, to its weight."""
