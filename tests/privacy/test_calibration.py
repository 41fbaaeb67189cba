"""The noise for an epsilon, beside accounting, the closed form of one Gaussian mechanism, and dp-accounting's own."""

from dataclasses import replace

import pytest
from scipy.optimize import brentq

from fedrobust.config import ConfigError, Experiment
from fedrobust.privacy import AdaptiveGaussianDP, Cohort, GaussianDP, Releases, calibrated
from fedrobust.privacy.accounting import spent
from fedrobust.study import Study
from tests.privacy.test_accounting import exact

dp_accounting = pytest.importorskip("dp_accounting")
DELTA = 1e-3


def least(releases, delta=DELTA):
    rdp, pld = spent(releases, delta)
    return rdp if pld is None else min(rdp, pld)


@pytest.mark.parametrize(
    "releases",
    [
        pytest.param(Releases(1.0, 20), marks=pytest.mark.slow),
        pytest.param(Releases(1.0, 20, "poisson", 0.3), marks=pytest.mark.slow),
        pytest.param(
            Releases(1.0, 20, "without-replacement", population=10, sampled=3), marks=pytest.mark.slow
        ),
        Releases(1.0, 3, replace_one=True),
    ],
    ids=["all", "poisson", "without replacement", "local"],
)
@pytest.mark.parametrize("epsilon", [8.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_the_noise_for_an_epsilon_has_it_to_a_millionth_and_never_more(releases, epsilon):
    noise = calibrated(epsilon, DELTA, releases)
    assert epsilon - 1e-6 <= least(replace(releases, noise_multiplier=noise)) <= epsilon


@pytest.mark.slow
def test_of_one_release_it_is_the_closed_forms():
    noise = calibrated(2.0, DELTA, Releases(1.0, 1))
    assert noise == pytest.approx(brentq(lambda z: exact(z, DELTA) - 2.0, 0.5, 5.0), rel=1e-4)


@pytest.mark.slow
def test_it_is_the_librarys_own():
    of_rate = dp_accounting.PoissonSampledDpEvent
    theirs = dp_accounting.calibrate_dp_mechanism(
        dp_accounting.pld.PLDAccountant,
        lambda z: dp_accounting.SelfComposedDpEvent(of_rate(0.2, dp_accounting.GaussianDpEvent(z)), 10),
        target_epsilon=4.0,
        target_delta=DELTA,
        bracket_interval=dp_accounting.ExplicitBracketInterval(0.5, 5.0),
        tol=1e-6,
    )
    assert calibrated(4.0, DELTA, Releases(1.0, 10, "poisson", 0.2)) == pytest.approx(theirs, abs=2e-6)


COHORT = Cohort(clients=10, expected=10.0, rounds=5, malicious=3, delta=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        GaussianDP(epsilon=8.0),
        GaussianDP(epsilon=8.0, noise="distributed"),
        GaussianDP(epsilon=8.0, noise="local"),
        AdaptiveGaussianDP(epsilon=8.0),
    ],
    ids=["server", "distributed", "local", "adaptive"],
)
def test_every_mechanism_promises_the_epsilon_that_it_is_given(settings):
    one = settings.within(COHORT)
    assert 8.0 - 1e-6 <= least(one.promise.releases, 1e-2) <= 8.0
    same = replace(settings, epsilon=0.0, noise_multiplier=one.z).within(COHORT)
    assert same.promise.releases == one.promise.releases


@pytest.mark.slow
def test_a_study_reaches_its_epsilon_at_the_delta_of_its_promise():
    given = {"federation__aggregator": "mean(weighting='uniform')", "privacy__delta": 0.02}
    study = Study(Experiment.of(federation__postprocessors=["gaussian-dp(epsilon=4)"], **given))
    assert 4.0 - 1e-6 <= least(study.promise.releases, 0.02) <= 4.0
    assert "noise_multiplier=" in study.promise.mechanism


@pytest.mark.parametrize("name", ["gaussian-dp", "adaptive-gaussian-dp"])
def test_epsilon_and_noise_are_not_both_given(name):
    with pytest.raises(
        ConfigError, match="epsilon = 8 with noise_multiplier = 2: each of them sets the noise"
    ):
        Experiment.of(federation__postprocessors=[f"{name}(epsilon=8, noise_multiplier=2.0)"])


def test_shares_of_noise_that_all_may_keep_back_reach_no_epsilon():
    one = GaussianDP(epsilon=8.0, noise="distributed").within(replace(COHORT, malicious=10))
    with pytest.raises(ConfigError, match="every client of a round may be malicious"):
        one.promise  # noqa: B018
