"""Client-level differential privacy with a fixed clipping norm."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fedrobust.bounds import NonNegative, Positive
from fedrobust.errors import ConfigError
from fedrobust.privacy.accounting import Releases
from fedrobust.privacy.calibration import calibrated
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
        epsilon: of the whole study at ``privacy.delta``, from which z is computed in place of `noise_multiplier`; 0:
            not given.
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
    epsilon: NonNegative = 0.0
    noise: Noise = "server"

    def within(self, cohort: Cohort) -> "Central | Distributed | Local":
        """Return the mechanism for the clients of a study.

        Raises:
            ValueError: both epsilon and noise multiplier are given.
        """
        check_one_given(self.epsilon, self.noise_multiplier)
        if self.noise == "server":
            return Central(self, cohort)
        return Distributed(self, cohort) if self.noise == "distributed" else Local(self, cohort)

    def multiplier(self, cohort: Cohort, unit: Releases) -> float:
        """Return z: as given, or that which ends at epsilon.

        Args:
            cohort: gives delta.
            unit: the releases of a study with z = 1.

        Raises:
            ConfigError: dp-accounting is not installed.
        """
        if not self.epsilon:
            return self.noise_multiplier
        return calibrated(self.epsilon, cohort.delta, unit) / unit.noise_multiplier

    def promised(self, z: float, unit: Releases, averaged: float) -> Promise:
        """Return the promise of means over `averaged` clients with noise multiplier z; `unit` as in `multiplier`."""
        name = f"gaussian-dp(clip={self.clip:g}, noise_multiplier={z:.6g}, noise='{self.noise}')"
        releases = replace(unit, noise_multiplier=z * unit.noise_multiplier)
        return Promise("client", name, self.noise, self.clip, releases, averaged)


def check_one_given(epsilon: float, noise_multiplier: float) -> None:
    """Refuse an epsilon beside a noise multiplier other than the default.

    Raises:
        ValueError: both are given.
    """
    if epsilon and noise_multiplier != 1.0:
        raise ValueError(
            f"epsilon = {epsilon:g} with noise_multiplier = {noise_multiplier:g}: each of them sets the noise; take "
            "one out"
        )


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
    def z(self) -> float:
        """The noise multiplier."""
        return self.settings.multiplier(self.cohort, central_releases(1.0, self.cohort))

    @property
    def promise(self) -> Promise:
        """What it promises for the whole study."""
        return self.settings.promised(self.z, central_releases(1.0, self.cohort), self.cohort.expected)

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
        total += generator.normal(0.0, self.z * self.settings.clip, len(total))
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
    def unit(self) -> Releases:
        """The releases with z = 1: by the noise of the honest clients alone."""
        share = max(0.0, 1 - self.cohort.malicious / self.cohort.expected)
        return central_releases(share**0.5, self.cohort)

    @property
    def z(self) -> float:
        """The noise multiplier.

        Raises:
            ConfigError: of no noise multiplier epsilon is reached: every client of a round may be malicious.
        """
        if self.settings.epsilon and not self.unit.noise_multiplier:
            raise ConfigError(
                f"federation.postprocessors: gaussian-dp with epsilon = {self.settings.epsilon:g} and "
                "noise='distributed': every client of a round may be malicious and keep back its share of the noise; "
                "choose noise='local'"
            )
        return self.settings.multiplier(self.cohort, self.unit)

    @property
    def promise(self) -> Promise:
        """What it promises for the whole study."""
        return self.settings.promised(self.z, self.unit, self.cohort.expected)

    def client(self, update: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the clipped update with its share of the noise."""
        scale = self.z * self.settings.clip / self.cohort.expected**0.5
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
    def unit(self) -> Releases:
        """The releases with z = 1."""
        return Releases(1.0, self.cohort.rounds, replace_one=True)

    @property
    def z(self) -> float:
        """The noise multiplier."""
        return self.settings.multiplier(self.cohort, self.unit)

    @property
    def promise(self) -> Promise:
        """What it promises to a client that takes part in every round: its update may be any other."""
        return self.settings.promised(self.z, self.unit, self.cohort.expected)

    def client(self, update: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the clipped update with noise."""
        scale = self.z * self.settings.clip
        return clipped(update, self.settings.clip) + generator.normal(0.0, scale, len(update))
