"""Client-level differential privacy with a clipping norm that follows the lengths of updates."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import NonNegative, Positive, Share
from fedrobust.privacy.calibration import calibrated
from fedrobust.privacy.clip import clipped
from fedrobust.privacy.cohort import Cohort
from fedrobust.privacy.contract import POSTPROCESSORS, Counted, State
from fedrobust.privacy.gaussian_dp import central_releases, check_one_given
from fedrobust.privacy.promise import Promise
from fedrobust.vectors import length


@POSTPROCESSORS.register("adaptive-gaussian-dp")
@dataclass(frozen=True, kw_only=True)
class AdaptiveGaussianDP:
    """Client-level differential privacy whose clipping norm tracks a quantile (Andrew et al., 2021, arXiv:1905.03871).

    After each round C becomes C exp(-rate (b - quantile)), where b is the share of updates of norm at most C, with
    noise (Algorithm 1). The noise of updates is raised so that updates and counts together cost what the noise
    multiplier z costs alone (theorem 1). The server measures lengths as updates arrive, where the paper's clients send
    one bit each: a bit could be false, and no client needs to know C.

    Attributes:
        clip: C of the first round.
        noise_multiplier: z, of both releases together.
        epsilon: of the whole study at ``privacy.delta``, from which z is computed in place of `noise_multiplier`; 0:
            not given.
        quantile: share of updates that are to be left as they are.
        rate: learning rate of log C.
        count_noise: standard deviation of the noise in the number of short updates; 0: a twentieth of the expected
            number of clients, as in the paper, but at least z, where theorem 1 needs more than z / 2.

    Example:
        >>> mechanism = AdaptiveGaussianDP(clip=1.0, noise_multiplier=0.0).within(Cohort(4, 4.0))
        >>> _, state = mechanism.release(np.zeros(2), Counted(4, unchanged=4), {}, np.random.default_rng(0))
        >>> round(float(state["clip"]), 3)  # all of four are shorter than 1: exp(-0.2 (1 - 0.5))
        0.905
    """

    clip: Positive = 0.1
    noise_multiplier: NonNegative = 1.0
    epsilon: NonNegative = 0.0
    quantile: Share = 0.5
    rate: Positive = 0.2
    count_noise: NonNegative = 0.0

    def within(self, cohort: Cohort) -> "AdaptiveCentral":
        """Return the mechanism for the clients of a study.

        Raises:
            ValueError: the noise in the counts is too small for the promise, or both epsilon and noise multiplier are
                given.
        """
        check_one_given(self.epsilon, self.noise_multiplier)
        return AdaptiveCentral(self, cohort)


@dataclass(frozen=True)
class AdaptiveCentral:
    """Noise at the server, which clips what arrives.

    Attributes:
        settings: of the mechanism.
        cohort: the clients of a round.

    Raises:
        ValueError: the noise in the counts is too small for the promise.
    """

    settings: AdaptiveGaussianDP
    cohort: Cohort

    def __post_init__(self) -> None:
        # Counts whose noise follows z always have enough of it, and computing z takes seconds.
        if self.settings.epsilon and not self.settings.count_noise:
            return
        z, counts = self.z, self.count_noise
        if z and 2 * counts <= z:
            raise ValueError(
                f"count_noise = {counts:g} with noise_multiplier = {z:g}: the count alone would cost more than both "
                f"may; choose count_noise above {z / 2:g}, or 0"
            )

    @property
    def z(self) -> float:
        """The noise multiplier: as given, or that which ends at epsilon."""
        if not self.settings.epsilon:
            return self.settings.noise_multiplier
        return calibrated(self.settings.epsilon, self.cohort.delta, central_releases(1.0, self.cohort))

    @property
    def count_noise(self) -> float:
        """Standard deviation of the noise in the number of short updates."""
        z = self.z
        return self.settings.count_noise or (max(self.cohort.expected / 20, z) if z else 0.0)

    @property
    def update_noise(self) -> float:
        """The noise multiplier of updates: (z^-2 - (2 count_noise)^-2)^(-1/2).

        Example:
            >>> one = AdaptiveGaussianDP(noise_multiplier=1.0).within(Cohort(10, 10.0))
            >>> round(one.update_noise, 4)
            1.1547
        """
        z = self.z
        return float((z**-2 - (2 * self.count_noise) ** -2) ** -0.5) if z else 0.0

    @property
    def promise(self) -> Promise:
        """What it promises for the whole study."""
        one = self.settings
        releases = central_releases(self.z, self.cohort)
        name = (
            f"adaptive-gaussian-dp(clip={one.clip:g}, noise_multiplier={self.z:.6g}, "
            f"quantile={one.quantile:g})"
        )
        return Promise("client", name, "server", one.clip, releases, self.cohort.expected)

    def norm(self, memory: State) -> float:
        """Return the clipping norm of a round, from the state after the round before."""
        return float(memory["clip"]) if "clip" in memory else self.settings.clip

    def received(self, update: np.ndarray, memory: State) -> tuple[np.ndarray, bool]:
        """Return the clipped update, and whether it was short enough."""
        norm = self.norm(memory)
        return clipped(update, norm), length(update) <= norm

    def release(
        self, mean: np.ndarray, counted: Counted, memory: State, generator: np.random.Generator
    ) -> tuple[np.ndarray, State]:
        """Return the sum over the expected number of clients, with noise, and the next clipping norm.

        The count is of halves: a client adds or removes one half, whether its update is short or long.
        """
        norm, one = self.norm(memory), self.settings
        total = np.asarray(mean, np.float64) * counted.replies
        total += generator.normal(0.0, self.update_noise * norm, len(total))
        halves = counted.unchanged - counted.replies / 2 + generator.normal(0.0, self.count_noise)
        short = halves / self.cohort.expected + 0.5
        # In float32 also after many rounds of one direction.
        after = np.clip(norm * np.exp(-one.rate * (short - one.quantile)), 1e-12, 1e12)
        return (total / self.cohort.expected).astype(np.float32), {"clip": np.array(after, np.float32)}
