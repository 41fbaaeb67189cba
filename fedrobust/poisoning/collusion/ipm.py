"""Inner product manipulation: a negative inner product with the honest mean."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Positive
from fedrobust.poisoning.collusion.strength import strongest
from fedrobust.poisoning.context import CollusionContext
from fedrobust.poisoning.contract import POISONING


@POISONING.register("ipm")
@dataclass(frozen=True, kw_only=True)
class IPM:
    """Send the honest mean times a negative number (inner product manipulation: Xie et al., 2019, arXiv:1903.03936).

    Attributes:
        epsilon: the size of that number; small ones deceive distances, large ones the mean.
    """

    epsilon: Positive = 0.5

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        return -np.float32(self.epsilon) * honest.combined(np.full(len(honest), 1 / len(honest)))


@POISONING.register("optimised-ipm")
@dataclass(frozen=True, kw_only=True)
class OptimisedIPM:
    """IPM with the epsilon that moves the server's aggregate farthest from the honest mean, whatever its defence.

    This project's search over the attack of Xie et al. (2019, arXiv:1903.03936).

    Attributes:
        most: largest epsilon that is tried.
    """

    most: Positive = 20.0

    probes = True

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        mean = honest.combined(np.full(len(honest), 1 / len(honest)))

        def sent(epsilon: float) -> np.ndarray:
            return -np.float32(epsilon) * mean

        candidates = [IPM().epsilon, *np.geomspace(0.1, self.most, 8)]
        return sent(strongest(candidates, sent, context.outcome, mean))
