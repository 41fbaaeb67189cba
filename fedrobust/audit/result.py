"""The result of one attack of an audit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.models.protocol import Logits


@dataclass(frozen=True)
class Result:
    """The result of one attack on some of the images.

    Attributes:
        name: of the attack.
        epsilons: ascending.
        rows: indices of the attacked images.
        success: (E, rows) bool, whether each was broken.
        logits: (E, rows, classes) of the best adversarial images.
        queries: mean number of queries per image.
        gradients: mean number of gradients per image.
        seconds: duration.
        shared: number of queries of work that all images share, such as the training of a surrogate.
    """

    name: str
    epsilons: tuple[float, ...]
    rows: NDArray[np.int64]
    success: NDArray[np.bool_]
    logits: Logits
    queries: float
    gradients: float
    seconds: float
    shared: int = 0

    def broken(self, epsilon: float, n: int) -> NDArray[np.bool_]:
        """Return the mask of all n images that were broken within `epsilon`, (n,).

        Adversarial images found at a smaller epsilon count, because they are within this one, too.
        """
        found = np.zeros(n, bool)
        found[self.rows] = self.success[: self.epsilons.index(epsilon) + 1].any(axis=0)
        return found
