"""Client-level differential privacy with a fixed clipping norm."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import NonNegative, Positive
from fedrobust.privacy.accounting import Releases
from fedrobust.privacy.clip import clipped
from fedrobust.privacy.cohort import Cohort
from fedrobust.privacy.contract import POSTPROCESSORS, Counted, State
from fedrobust.privacy.promise import Promise
from fedrobust.vectors import length

Noise = Literal["server", "distributed", "local"]


@POSTPROCESSORS.register("gaussian-dp")
@dataclass(frozen=True, kw_only=True)
class GaussianDP:
    """Client-level differential privacy, fixed clipping norm (McMahan et al., 2018, arXiv:1710.06963, Algorithm 1).

    Every update is clipped to the norm C, by the client and again by the server as it arrives; their sum, divided by
    the expected number of clients m, gets noise. Neighbouring federations differ in one client with all of its images.

    Attributes:
        clip: C, the largest Euclidean norm of an update.
        noise_multiplier: z; the sum has noise of standard deviation z C in each coordinate. 0: clipped only, which
            promises nothing.
        noise: ``server``: the server adds it to the sum, and is trusted to; the rule is then the uniform mean, whose
            sensitivity is known. ``distributed``: every client adds N(0, z^2 C^2 / m) to its update, so that the sum
            has the whole noise while all honest clients of a round reply. ``local``: every client adds N(0, z^2 C^2),
            which protects it from the server, too; any rule may follow, and a mean has sqrt(m) times the noise.

    Example:
        >>> mechanism = GaussianDP(clip=1.0, noise_multiplier=0.5).within(Cohort(4, 4.0))
        >>> mechanism.received(np.array([3.0, 4.0], np.float32), {})
        (array([0.6, 0.8], dtype=float32), False)
        >>> mean, _ = mechanism.release(np.zeros(100_000), Counted(4), {}, np.random.default_rng(0))
        >>> round(float(mean.std()), 3)  # z C / m
        0.125
    """

    clip: Positive = 1.0
    noise_multiplier: NonNegative = 1.0
    noise: Noise = "server"

    def within(self, cohort: Cohort) -> "Central | Distributed | Local":
        """Return the mechanism for the clients of a study."""
        if self.noise == "server":
            return Central(self, cohort)
        return Distributed(self, cohort) if self.noise == "distributed" else Local(self, cohort)

    def promised(self, releases: Releases, averaged: float) -> Promise:
        """Return the promise of `releases` of means over `averaged` clients."""
        name = f"gaussian-dp(clip={self.clip:g}, noise_multiplier={self.noise_multiplier:g}, noise='{self.noise}')"
        return Promise("client", name, self.noise, self.clip, releases, averaged)


def central_releases(noise_multiplier: float, cohort: Cohort) -> Releases:
    """Return the releases of sums over the clients of each round.

    A fixed number of sampled clients is amplified by the theorem for sampling without replacement, of neighbours that
    differ in the data of one client.
    """
    if cohort.sampling == "poisson":
        return Releases(noise_multiplier, cohort.rounds, "poisson", cohort.rate)
    if cohort.sampling == "fixed":
        sampled = round(cohort.expected)
        return Releases(
            noise_multiplier,
            cohort.rounds,
            "without-replacement",
            population=cohort.clients,
            sampled=sampled,
        )
    return Releases(noise_multiplier, cohort.rounds)


@dataclass(frozen=True)
class Central:
    """Noise at the server, which clips what arrives.

    Attributes:
        settings: of the mechanism.
        cohort: the clients of a round.
    """

    settings: GaussianDP
    cohort: Cohort

    @property
    def promise(self) -> Promise:
        """What it promises for the whole study."""
        releases = central_releases(self.settings.noise_multiplier, self.cohort)
        return self.settings.promised(releases, self.cohort.expected)

    def client(self, update: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the clipped update."""
        return clipped(update, self.settings.clip)

    def received(self, update: np.ndarray, memory: State) -> tuple[np.ndarray, bool]:
        """Return the clipped update, and whether it was short enough."""
        return clipped(update, self.settings.clip), length(update) <= self.settings.clip

    def release(
        self, mean: np.ndarray, counted: Counted, memory: State, generator: np.random.Generator
    ) -> tuple[np.ndarray, State]:
        """Return the sum over the expected number of clients, with noise.

        The number of replies is not divided by: with it, one client would change all others' shares.
        """
        total = np.asarray(mean, np.float64) * counted.replies
        total += generator.normal(0.0, self.settings.noise_multiplier * self.settings.clip, len(total))
        return (total / self.cohort.expected).astype(np.float32), memory


@dataclass(frozen=True)
class Distributed:
    """Noise in shares at every client.

    Attributes:
        settings: of the mechanism.
        cohort: the clients of a round; malicious ones may keep back their share of the noise.
    """

    settings: GaussianDP
    cohort: Cohort

    @property
    def promise(self) -> Promise:
        """What it promises for the whole study: by the noise of the honest clients alone."""
        share = max(0.0, 1 - self.cohort.malicious / self.cohort.expected)
        releases = central_releases(self.settings.noise_multiplier * share**0.5, self.cohort)
        return self.settings.promised(releases, self.cohort.expected)

    def client(self, update: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the clipped update with its share of the noise."""
        scale = self.settings.noise_multiplier * self.settings.clip / self.cohort.expected**0.5
        return clipped(update, self.settings.clip) + generator.normal(0.0, scale, len(update))


@dataclass(frozen=True)
class Local:
    """The whole noise at every client.

    Attributes:
        settings: of the mechanism.
        cohort: the clients of a round.
    """

    settings: GaussianDP
    cohort: Cohort

    @property
    def promise(self) -> Promise:
        """What it promises to a client that takes part in every round: its update may be any other."""
        releases = Releases(self.settings.noise_multiplier, self.cohort.rounds, replace_one=True)
        return self.settings.promised(releases, self.cohort.expected)

    def client(self, update: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the clipped update with noise."""
        scale = self.settings.noise_multiplier * self.settings.clip
        return clipped(update, self.settings.clip) + generator.normal(0.0, scale, len(update))
