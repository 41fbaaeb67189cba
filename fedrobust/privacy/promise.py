"""What a mechanism promises: differential privacy of which unit, by which noise, after how many releases."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from fedrobust.privacy.accounting import COARSE, Releases, epsilon_by_pld, epsilon_by_rdp, spent


@dataclass(frozen=True)
class Promise:
    """A promise of differential privacy.

    Attributes:
        unit: what neighbouring data sets differ in: all images of a client, or one image.
        mechanism: its name and settings.
        noise: where noise is added: at the server, in shares at every client ("distributed"), in full at every client
            ("local"), or in every step of the local training ("step").
        clip: the largest norm of one unit's contribution at the start.
        releases: the releases of the whole study.
        averaged: units over which a release averages.
    """

    unit: Literal["client", "image"]
    mechanism: str
    noise: Literal["server", "distributed", "local", "step"]
    clip: float
    releases: Releases
    averaged: float

    def spent(self, delta: float) -> tuple[float, float | None]:
        """Return epsilon by Rényi divergences and by privacy loss distributions (None: not known), of all releases."""
        return spent(self.releases, delta)

    def spent_after(self, count: int, delta: float) -> float:
        """Return the smaller bound of epsilon after `count` releases, in wide intervals: fast enough for each round."""
        releases = self.releases.after(count)
        pld = epsilon_by_pld(releases, delta, COARSE)
        return epsilon_by_rdp(releases, delta) if pld is None else pld

    def repeated(self, times: int, rounds: int) -> "Promise":
        """Return the promise where `times` of the `rounds` were released twice, with the same noise in each.

        Example:
            >>> one = Promise("client", "gaussian-dp", "local", 1.0, Releases(1.0, 20), averaged=10)
            >>> one.repeated(2, 20).releases.count
            22
        """
        more = times * self.releases.count // rounds
        return replace(self, releases=self.releases.after(self.releases.count + more))

    def noise_to_clip(self, parameters: int) -> float:
        """Return the expected norm of the noise in one release, in units of the largest possible mean: z sqrt(d) / n.

        Each of d coordinates of the mean of n contributions has noise of standard deviation z C / n, and the mean is
        no longer than C.

        Example:
            >>> one = Promise("client", "gaussian-dp", "server", 1.0, Releases(1.0, 20), averaged=10)
            >>> round(one.noise_to_clip(2_300_000)), round(one.noise_to_clip(2562))
            (152, 5)
        """
        shares = math.sqrt(self.averaged) if self.noise == "local" else self.averaged
        return self.releases.noise_multiplier * math.sqrt(parameters) / shares

    def hopeless(self, parameters: int) -> float:
        """Return by which factor the noise of all releases exceeds the longest possible way of the weights.

        After T releases the noise has grown to sqrt(T) times that of one, the longest way to T C.
        """
        return self.noise_to_clip(parameters) / math.sqrt(max(1, self.releases.count))
