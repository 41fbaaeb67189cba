"""Epsilon beside dp-accounting's own for every sampling, and beside the closed form of one Gaussian mechanism."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from fedrobust.privacy import Promise, Releases, calibrated, epsilon_by_pld, epsilon_by_rdp, noise_for
from fedrobust.privacy.accounting import COARSE, epsilon_together, spent

dp_accounting = pytest.importorskip("dp_accounting")
DELTA = 1e-3


def library(sampling, noise):
    gaussian = dp_accounting.GaussianDpEvent(noise)
    if sampling == "poisson":
        return dp_accounting.PoissonSampledDpEvent(0.3, gaussian)
    if sampling == "without-replacement":
        # Replacing one of the sampled records moves the sum by twice the clipping norm.
        return dp_accounting.SampledWithoutReplacementDpEvent(10, 3, dp_accounting.GaussianDpEvent(noise / 2))
    return gaussian


SAMPLINGS = ["all", "poisson", "without-replacement"]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_epsilon_is_the_librarys_own_for_every_sampling(sampling):
    noise = 6.0
    releases = Releases(noise, 20, sampling, 0.3, population=10, sampled=3)
    replaced = sampling == "without-replacement"
    relation = dp_accounting.NeighboringRelation
    relation = relation.REPLACE_ONE if replaced else relation.ADD_OR_REMOVE_ONE
    event = dp_accounting.SelfComposedDpEvent(library(sampling, noise), 20)
    rdp = dp_accounting.rdp.RdpAccountant(neighboring_relation=relation).compose(event).get_epsilon(DELTA)
    assert epsilon_by_rdp(releases, DELTA) == pytest.approx(rdp, abs=1e-6)
    assert releases.adjacency == ("replace one" if replaced else "add or remove one")
    if replaced:
        assert epsilon_by_pld(releases, DELTA) is None
        return
    pld = dp_accounting.pld.PLDAccountant(value_discretization_interval=COARSE)
    found = epsilon_by_pld(releases, DELTA, COARSE)
    assert found == pytest.approx(pld.compose(event).get_epsilon(DELTA), abs=1e-6)
    assert found < rdp


def exact(noise, delta):
    """Epsilon of one Gaussian mechanism of sensitivity 1 (Balle and Wang, 2018, arXiv:1805.06530, theorem 8)."""
    a = 1 / (2 * noise)

    def gap(epsilon):
        b = epsilon * noise
        return norm.cdf(a - b) - math.exp(epsilon) * norm.cdf(-a - b) - delta

    return brentq(gap, 0, 100)


def test_one_release_has_the_epsilon_of_the_closed_form():
    assert epsilon_by_pld(Releases(1.5, 1), DELTA) == pytest.approx(exact(1.5, DELTA), abs=2e-4)
    # Of many releases that of one with the noise divided by the root of their number.
    assert epsilon_by_pld(Releases(6.0, 16), DELTA) == pytest.approx(exact(1.5, DELTA), abs=3e-3)
    # A replaced record moves the sum by twice the norm.
    replaced = epsilon_by_pld(Releases(3.0, 1, replace_one=True), DELTA)
    assert replaced == pytest.approx(exact(1.5, DELTA), abs=2e-4)


def test_no_noise_promises_nothing_and_no_release_costs_nothing():
    assert epsilon_by_rdp(Releases(0.0, 1), DELTA) == epsilon_by_pld(Releases(0.0, 1), DELTA) == math.inf
    assert epsilon_by_rdp(Releases(1.0, 0), DELTA) == epsilon_by_pld(Releases(1.0, 0), DELTA) == 0.0


@pytest.mark.parametrize(
    "releases", [Releases(1.0, 1), pytest.param(Releases(1.0, 50, "poisson", 0.1), marks=pytest.mark.slow)]
)
def test_the_noise_for_an_epsilon_keeps_it_and_little_less_does_not(releases):
    noise = noise_for(4.0, DELTA, releases)
    spent = [
        epsilon_by_pld(Releases(noise * factor, releases.count, releases.sampling, releases.rate), DELTA)
        for factor in (1.0, 0.99)
    ]
    assert spent[0] <= 4.0 < spent[1]


@pytest.mark.parametrize(
    ("epsilon", "count", "rate"), [(0.1, 5000, 0.02), (0.05, 1000, 0.02), (1.0, 20_000, 0.01), (0.01, 1, 1.0)]
)
def test_the_noise_of_many_small_steps_is_the_smallest_too(epsilon, count, rate):
    steps = Releases(1.0, count, "poisson", rate)
    noise = noise_for(epsilon, 1e-5, steps)
    exact = epsilon_by_pld(replace(steps, noise_multiplier=noise), 1e-5, 1e-5)
    assert 0.997 * epsilon < exact <= epsilon
    assert min(filter(None, spent(replace(steps, noise_multiplier=noise), 1e-5))) <= 1.0005 * epsilon
    together = epsilon_together([replace(steps, noise_multiplier=noise)], 1e-5)
    assert 0.997 * epsilon < together <= 1.0005 * epsilon


@pytest.mark.parametrize("place", ["server", "local"])
def test_the_noise_beside_the_clip_is_what_is_drawn(place):
    d, n, z = 20_000, 4, 0.7
    one = Promise("client", "", place, 1.0, Releases(z, 9), averaged=n)
    draw = np.random.default_rng(0)
    sums = draw.normal(0, z, (n, d)).mean(0) if place == "local" else draw.normal(0, z, d) / n
    assert one.noise_to_clip(d) == pytest.approx(np.linalg.norm(sums), rel=0.03)
    assert one.hopeless(d) == pytest.approx(one.noise_to_clip(d) / 3)


@pytest.mark.parametrize("noise", [0.01, 1e-4])
def test_noise_of_which_next_to_nothing_is_left_is_accounted_in_little_memory(noise):
    # Grids of privacy loss would have 1e8 places and more.
    releases = Releases(noise, 20, "poisson", 0.1)
    rdp, pld = spent(releases, 1e-3)
    assert pld is None
    assert rdp == epsilon_by_rdp(releases, 1e-3) == epsilon_together([releases], 1e-3)
    assert rdp > 1e5


@pytest.mark.parametrize("epsilon", [500.0, 1e5])
def test_the_noise_for_a_loose_epsilon_is_that_of_renyi_divergences(epsilon):
    for sampling, rate in (("all", 1.0), ("poisson", 0.1)):
        noise = noise_for(epsilon, 1e-3, Releases(1.0, 20, sampling, rate))
        found = epsilon_by_rdp(Releases(noise, 20, sampling, rate), 1e-3)
        assert 0.99 * epsilon < found <= epsilon
    found = epsilon_by_rdp(Releases(calibrated(epsilon, 1e-3, Releases(1.0, 20)), 20), 1e-3)
    assert epsilon - 1e-5 <= found <= epsilon
