"""Clipping and smoothing of the global model, whose last step a certificate against backdoors is made of."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.privacy.clip import clipped
from fedrobust.privacy.cohort import Cohort
from fedrobust.privacy.contract import POSTPROCESSORS


@POSTPROCESSORS.register("crfl")
@dataclass(frozen=True, kw_only=True)
class CRFL:
    """Clip the global model and add noise to it (Xie et al., 2021, arXiv:2106.08283, Algorithm 1).

    After every round the server clips the trained weights, all of them as one vector, to the norm rho and adds
    Gaussian noise. The last model is clipped only: its noise is drawn at test time, for the votes of
    ``fedrobust certify-training RUN``. BatchNorm statistics are no parameters; they are neither clipped nor noisy.

    The authors' code clips likewise, to a norm that grows with the rounds, and adds noise to all arrays of the state,
    BatchNorm statistics included. This is no promise of differential privacy: updates are not clipped.

    Attributes:
        norm: rho, the largest Euclidean norm of the trained weights.
        deviation: sigma, the standard deviation of the noise in each weight.

    Example:
        >>> server, draw = CRFL(norm=1.0, deviation=0.5).within(Cohort(rounds=2)), np.random.default_rng(0)
        >>> server.model(np.array([3.0, 4.0], np.float32), 2, draw).tolist()
        [0.6000000238418579, 0.800000011920929]
        >>> round(float(server.model(np.zeros(100_000, np.float32), 1, draw).std()), 2)
        0.5
    """

    norm: Positive = 15.0
    deviation: Positive = 0.01

    def within(self, cohort: Cohort) -> "ClippedAndNoisy":
        """Return the server's part for the rounds of a study."""
        return ClippedAndNoisy(self, cohort.rounds)


@dataclass(frozen=True)
class ClippedAndNoisy:
    """The server's part in a study.

    Attributes:
        settings: norm and noise.
        rounds: of the study.
    """

    settings: CRFL
    rounds: int

    def model(self, weights: np.ndarray, round: int, generator: np.random.Generator) -> np.ndarray:
        """Return `weights` (d,) float32 clipped, with noise before the last round; NaN and infinity are left."""
        if not np.isfinite(weights).all():
            return weights  # the server rejects this model; clipped, it would look usable
        short = clipped(weights, self.settings.norm)
        if round >= self.rounds:
            return short
        return short + self.noise(len(short), generator)

    def noise(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """Return the noise (size,) float32 of one model."""
        drawn = generator.standard_normal(size, np.float32)
        return np.asarray(drawn * np.float32(self.settings.deviation), np.float32)
