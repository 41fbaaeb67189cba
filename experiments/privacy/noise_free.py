"""A mechanism that promises differential privacy and adds no noise: what an audit has to catch."""

from dataclasses import dataclass

import numpy as np

from fedrobust.privacy.cohort import Cohort
from fedrobust.privacy.contract import Counted, State
from fedrobust.privacy.gaussian_dp import Central, GaussianDP


@dataclass(frozen=True, kw_only=True)
class NoiseFree:
    """Promise what ``gaussian-dp`` does, clip as it does, and forget the noise.

    Attributes:
        clip: of the mechanism.
        noise_multiplier: that is promised.
    """

    clip: float = 1.0
    noise_multiplier: float = 2.0

    def within(self, cohort: Cohort) -> "WithoutNoise":
        """Return the mechanism for the clients of a study."""
        return WithoutNoise(GaussianDP(clip=self.clip, noise_multiplier=self.noise_multiplier), cohort)


@dataclass(frozen=True)
class WithoutNoise(Central):
    """The promise and the clipping of `Central`, without its noise."""

    def release(
        self, mean: np.ndarray, counted: Counted, memory: State, generator: np.random.Generator
    ) -> tuple[np.ndarray, State]:
        """Return the sum over the expected number of clients."""
        total = np.asarray(mean, np.float64) * counted.replies
        return (total / self.cohort.expected).astype(np.float32), memory
