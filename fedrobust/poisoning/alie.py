"""A little is enough."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Positive, Real
from fedrobust.poisoning.attack import POISONING, Conspiracy
from fedrobust.poisoning.statistics import mean_and_deviation
from fedrobust.poisoning.strength import strongest


def largest_z(clients: int, malicious: int) -> float:
    """Return the z of Baruch et al. (2019, arXiv:1902.06156, Algorithm 3).

    With s = floor(n / 2 + 1) - m supporters needed, z is where the normal distribution reaches (n - m - s) / (n - m).

    Example:
        >>> round(largest_z(50, 24), 2)
        1.43
    """
    supporters = clients // 2 + 1 - malicious
    honest = clients - malicious
    share = np.clip((honest - supporters) / honest, 1e-6, 1 - 1e-6)
    return float(norm.ppf(share))


@POISONING.register("alie")
@dataclass(frozen=True, kw_only=True)
class ALIE:
    """Send mean - z standard deviations: a change that hides in the spread (Baruch et al., 2019, arXiv:1902.06156).

    Attributes:
        z: how many deviations; 0 for the paper's, from the numbers of clients.
    """

    z: Real = 0.0

    def coalition(self, honest: Updates, scene: Conspiracy) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        mean, deviation = mean_and_deviation(honest)
        return mean - np.float32(self.z or largest_z(scene.clients, scene.malicious)) * deviation


@POISONING.register("optimised-alie")
@dataclass(frozen=True, kw_only=True)
class OptimisedALIE:
    """ALIE with the z that moves the server's aggregate farthest from the honest mean, whatever its defence.

    The attackers know the defence and try it out (as in ByzFL; Shejwalkar and Houmansadr, NDSS 2021).

    Attributes:
        most: largest z that is tried.
    """

    most: Positive = 8.0

    def coalition(self, honest: Updates, scene: Conspiracy) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        mean, deviation = mean_and_deviation(honest)

        def sent(z: float) -> np.ndarray:
            return mean - np.float32(z) * deviation

        fixed = largest_z(scene.clients, scene.malicious)
        candidates = [fixed, *np.linspace(self.most / 8, self.most, 8)]
        return sent(strongest(candidates, sent, scene.outcome, mean))
