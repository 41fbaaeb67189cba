"""What one attack of an audit did."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.models.protocol import Logits


@dataclass(frozen=True)
class Result:
    """What one attack did to some of the images.

    Attributes:
        name: of the attack.
        epsilons: ascending.
        rows: places of the images that it was run on.
        success: (E, rows) whether each was broken.
        logits: (E, rows, classes) of the best image.
        queries: mean number of images that the model was asked about.
        gradients: mean number of gradients.
        seconds: it took.
    """

    name: str
    epsilons: tuple[float, ...]
    rows: NDArray[np.int64]
    success: NDArray[np.bool_]
    logits: Logits
    queries: float
    gradients: float
    seconds: float

    def broken(self, epsilon: float, n: int) -> NDArray[np.bool_]:
        """Return which of all n images were broken within `epsilon`, (n,).

        What was found at a smaller epsilon counts: it is within this one, even if the attack does not find it again.
        """
        found = np.zeros(n, bool)
        found[self.rows] = self.success[: self.epsilons.index(epsilon) + 1].any(axis=0)
        return found
