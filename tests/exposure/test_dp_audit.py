"""Audits of the study's own mechanisms: calibrated ones pass, noise-free ones are caught."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.exposure.dp_audit import Mechanism, audited
from fedrobust.privacy import Clip
from fedrobust.privacy.promise import Promise
from fedrobust.study import Study

pytest.importorskip("dp_accounting")


def mechanism(spec, rounds=1, sampling="fixed", participation=1.0, clients=100):
    """Return the mechanism of a study with a postprocessor."""
    study = Study.of(
        Experiment.of(
            federation__postprocessors=[spec],
            federation__clients=clients,
            federation__rounds=rounds,
            federation__participation=participation,
            federation__sampling=sampling,
        )
    )
    rate = participation if sampling == "poisson" else 1.0
    return Mechanism(study.postprocessors, study.promise, rate, clients * rate)


SPECS = [
    ("gaussian-dp(noise_multiplier=2.0)", 1, "fixed", 1.0),
    pytest.param("gaussian-dp(noise_multiplier=1.0, clip=0.01)", 4, "fixed", 1.0, marks=pytest.mark.slow),
    pytest.param("gaussian-dp(noise_multiplier=1.0)", 4, "poisson", 0.5, marks=pytest.mark.slow),
    pytest.param("adaptive-gaussian-dp(noise_multiplier=2.0)", 3, "fixed", 1.0, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("spec", "rounds", "sampling", "share"), SPECS)
def test_a_calibrated_mechanism_passes_in_twenty_seeds(spec, rounds, sampling, share):
    one = mechanism(spec, rounds, sampling, share)
    claimed, bounds = None, []
    for seed in range(20):
        record = audited(one, 1e-3, seed, canaries=300, claimed=claimed)
        claimed = record.claimed
        bounds.append(record.bound)
        assert not record.caught
        assert record.noise_interval[0] <= record.noise_claimed * 1.16, "the noise is not far above the claim"
    assert max(bounds) <= claimed


def test_the_bound_of_little_noise_is_far_from_nothing():
    record = audited(mechanism("gaussian-dp(noise_multiplier=0.5)"), 1e-3, seed=0)
    assert 2.0 < record.bound <= record.claimed
    assert record.bound < record.ceiling < 7


@dataclass(frozen=True)
class NoiseFree:
    """Claims the promise of another mechanism, clips as it does, and adds a share of its noise."""

    claimed: Promise
    share: float = 0.0

    @property
    def promise(self):
        return self.claimed

    def received(self, update, memory):
        return Clip(norm=self.claimed.clip).client(update, None), False

    def server(self, update, generator):
        noise = (
            self.share * self.claimed.releases.noise_multiplier * self.claimed.clip / self.claimed.averaged
        )
        return update + generator.normal(0, noise, len(update))


@pytest.mark.parametrize(("rounds", "share"), [(1, 0.0), (5, 0.0), (5, 0.9)])
def test_a_mechanism_without_its_noise_is_caught(rounds, share):
    honest = mechanism("gaussian-dp(noise_multiplier=2.0)", rounds)
    record = audited(replace(honest, postprocessors=(NoiseFree(honest.promise, share),)), 1e-3, seed=0)
    assert record.caught
    assert record.noise_interval[1] < record.noise_claimed
    if rounds == 1:
        assert record.right == record.guesses
        assert record.bound > record.claimed


def test_a_mechanism_without_clipping_is_caught_by_the_bound():
    """Noise as claimed, but a client's influence is not bounded."""
    honest = mechanism("gaussian-dp(noise_multiplier=2.0)")

    @dataclass(frozen=True)
    class Unclipped(NoiseFree):
        def received(self, update, memory):
            return update, True

    record = audited(replace(honest, postprocessors=(Unclipped(honest.promise, 1.0),)), 1e-3, seed=0)
    assert record.bound > record.claimed
    assert record.caught


@pytest.mark.parametrize(("noise", "factor"), [("server", 1.0), ("distributed", 1.0), ("local", 10.0)])
def test_the_measured_noise_is_that_of_the_sum(noise, factor):
    one = mechanism(f"gaussian-dp(noise_multiplier=1.5, noise='{noise}')")
    measured, (low, high) = one.noise(np.random.default_rng(0))
    assert low < 1.5 * factor < high
    assert measured == pytest.approx(1.5 * factor, rel=0.05)
    assert one.claimed_noise == pytest.approx(1.5 * factor)
