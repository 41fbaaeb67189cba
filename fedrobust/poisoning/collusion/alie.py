"""A little is enough: deviations within the spread of honest updates."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Positive, Real
from fedrobust.poisoning.collusion.statistics import mean_and_deviation
from fedrobust.poisoning.collusion.strength import strongest
from fedrobust.poisoning.context import AttackContext, CollusionContext
from fedrobust.poisoning.contract import POISONING


def largest_z(clients: int, malicious: int) -> float:
    """Return the z of Baruch et al. (2019, arXiv:1902.06156, Algorithm 3).

    With s = floor(n / 2 + 1) - m supporters needed, z is where the normal distribution reaches (n - m - s) / (n - m).
    Few attackers need more supporters than half of the honest clients: z is then negative, and what they send helps
    the server. Without honest clients z is as large as with the largest share that is computed.

    Example:
        >>> round(largest_z(50, 24), 2)
        1.43
        >>> round(largest_z(10, 1), 2), round(largest_z(10, 2), 2)
        (-0.14, 0.0)
    """
    supporters = clients // 2 + 1 - malicious
    honest = max(1, clients - malicious)
    share = np.clip((honest - supporters) / honest, 1e-6, 1 - 1e-6)
    return float(ndtri(share))


@POISONING.register("alie")
@dataclass(frozen=True, kw_only=True)
class ALIE:
    """Send mean - z standard deviations: a change that hides in the spread (Baruch et al., 2019, arXiv:1902.06156).

    The paper's z follows from how many clients, and how many malicious ones, there are in the round; the attackers know
    both. With few of them it is 0 or negative (n = 10: 0 for m = 2, -0.14 for m = 1), and the attack does nothing or
    helps. Libraries take a constant instead: the authors' code and ByzFL 1.5, Blades the formula as it stands.

    With ``hide`` it is the paper's way to backdoor: ``"pixel-backdoor + alie(hide=True, z=1.5)"`` sends what each
    client learnt, as far as it lies within z deviations of the mean.

    Attributes:
        z: how many deviations; 0 for the paper's, from the numbers of clients.
        least: the paper's z where that is larger, else this; ``alie(least=1.5)`` never helps the server.
        hide: send one's own update within mean - z and mean + z deviations, not mean - z deviations.
    """

    z: Real = 0.0
    least: Real | None = None
    hide: bool = False

    @property
    def uses_own(self) -> bool:
        """Whether what members learnt is sent."""
        return self.hide

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return what all malicious clients send (d,), or what each does (malicious, d) if they hide their own."""
        mean, deviation = mean_and_deviation(honest)
        z = np.float32(self.deviations(context.clients, context.malicious))
        if not self.hide:
            return mean - z * deviation
        reach = max(z, np.float32(0)) * deviation
        return np.clip(np.asarray(context.own), mean - reach, mean + reach)

    def deviations(self, clients: int, malicious: int) -> float:
        """Return the z among so many `clients` of a round, so many of them `malicious`.

        Example:
            >>> ALIE(z=2).deviations(10, 1), ALIE(least=1.5).deviations(10, 1)
            (2, 1.5)
        """
        if self.z:
            return self.z
        z = largest_z(clients, malicious)
        return z if self.least is None else max(z, self.least)

    def remarks(self, context: AttackContext) -> list[str]:
        """Return that the attack does nothing, or helps, where it does."""
        clients, malicious = context.participants, max(1, round(context.expected_malicious))
        z = round(self.deviations(clients, malicious), 2)
        if z > 0:
            return []
        effect = "helps the server" if z < 0 else "changes nothing on average"
        return [
            f"alie with n = {clients}, m = {malicious} has z = {z + 0.0:.2f}: it {effect}; set z or least "
            "(other libraries take 1.5)"
        ]


@POISONING.register("optimised-alie")
@dataclass(frozen=True, kw_only=True)
class OptimisedALIE:
    """ALIE with the z that moves the server's aggregate farthest from the honest mean, whatever its defence.

    The attackers know the defence and try it out (as in ByzFL; Shejwalkar and Houmansadr, NDSS 2021).

    Attributes:
        most: largest z that is tried.
    """

    most: Positive = 8.0

    probes = True

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        mean, deviation = mean_and_deviation(honest)

        def sent(z: float) -> np.ndarray:
            return mean - np.float32(z) * deviation

        fixed = largest_z(context.clients, context.malicious)
        candidates = [fixed, *np.linspace(self.most / 8, self.most, 8)]
        return sent(strongest(candidates, sent, context.outcome, mean))
