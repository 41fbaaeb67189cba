"""Mimic: all malicious clients copy one honest client's update."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.poisoning.context import CollusionContext
from fedrobust.poisoning.contract import POISONING


@POISONING.register("mimic")
@dataclass(frozen=True, kw_only=True)
class Mimic:
    """Copy the honest client that stands out most (Karimireddy et al., 2020, arXiv:2006.09365, section 3.2).

    It is the one whose difference from the mean has the largest projection, in size, on the direction of largest
    variance about that mean, so that a rule that trusts the many over-represents it. The paper follows that direction
    over rounds; here it is each round's own, as the clients of a round change where participation is below 1.
    """

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return the copied update (d,)."""
        # Of the Gram matrix of differences from the mean, the leading eigenvector holds every client's projection.
        n = len(honest)
        centring = np.eye(n) - 1 / n
        _, vectors = np.linalg.eigh(centring @ honest.inner @ centring)
        chosen = int(np.argmax(np.abs(vectors[:, -1])))
        return honest.combined(np.eye(n)[chosen])
