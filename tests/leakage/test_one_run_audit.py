"""The one-run audit's bound: the paper's formula written out, and mechanisms whose epsilon is known."""

import math

import numpy as np
import pytest
from scipy import stats

from fedrobust.leakage.one_run_audit import Guesses, guesses, lower_bound, p_value


def written_out(m, r, v, epsilon, delta):
    """Theorem 5.2 with the sums as they stand: P[W >= v] + 2 m delta max_i (1 / i) P[v > W >= v - i]."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    mass = [math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    beta = sum(mass[v:])
    alpha = max(sum(mass[max(v - i, 0) : v]) / i for i in range(1, v + 1)) if v else 0.0
    return min(1.0, beta + alpha * delta * 2 * m)


@pytest.mark.parametrize(
    ("m", "r", "v"), [(20, 20, 20), (40, 30, 25), (60, 11, 3), (50, 50, 26), (10, 10, 0), (30, 4, 1)]
)
@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (1.0, 1e-5), (3.0, 1e-2), (0.3, 0.2)])
def test_the_p_value_is_the_papers(m, r, v, epsilon, delta):
    assert p_value(Guesses(m, r, v), epsilon, delta) == pytest.approx(written_out(m, r, v, epsilon, delta))


def test_the_bound_is_where_the_p_value_is_five_per_cent():
    for found in (Guesses(1000, 1000, 900), Guesses(1000, 200, 190)):
        for delta in (0.0, 1e-6, 1e-4):
            assert p_value(found, lower_bound(found, delta), delta) == pytest.approx(0.05, abs=1e-6)
    assert lower_bound(Guesses(1000, 1000, 530), 0.0) < lower_bound(Guesses(1000, 1000, 900), 0.0)
    assert lower_bound(Guesses(1000, 1000, 900), 1e-3) < lower_bound(Guesses(1000, 1000, 900), 0.0)


def test_all_right_of_r_refutes_the_epsilon_whose_randomised_response_is_that_lucky_once_in_twenty():
    for r in (10, 1000):
        q = 0.05 ** (1 / r)
        assert lower_bound(Guesses(r, r, r), 0.0) == pytest.approx(math.log(q / (1 - q)))


def test_guesses_are_the_most_certain_canaries_at_both_ends():
    scores = np.array([0.1, 5.0, -4.0, 3.0, -0.2, -3.0])
    included = np.array([True, True, False, False, True, True])
    assert guesses(scores, included, 2) == Guesses(6, 2, 2)
    assert guesses(scores, included, 4) == Guesses(6, 4, 2)
    assert guesses(scores, included, 6) == Guesses(6, 6, 3)
    assert guesses(scores, included, 3) == guesses(scores, included, 2)


def test_randomised_response_has_a_bound_near_its_epsilon_and_rarely_above():
    """Each canary's bit is told rightly with probability e / (1 + e): the mechanism for which the bound is tight."""
    epsilon, above, found = 1.0, 0, []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        right = int((draw.random(2000) < 1 / (1 + math.exp(-epsilon))).sum())
        found.append(lower_bound(Guesses(2000, 2000, right), 0.0))
        above += found[-1] > epsilon
    assert above <= stats.binom.ppf(0.999, 200, 0.05)
    assert 0.8 < np.median(found) < 1.0


def gaussian_epsilon(z, delta):
    """Return epsilon of a Gaussian of sensitivity 1 and deviation z, closed form (Balle and Wang, 2018, theorem 8)."""
    low, high = 0.0, 200.0
    for _ in range(200):
        e = (low + high) / 2
        spent = stats.norm.cdf(0.5 / z - e * z) - np.exp(e + stats.norm.logcdf(-0.5 / z - e * z))
        low, high = (e, high) if spent > delta else (low, e)
    return high


@pytest.mark.parametrize("z", [0.5, 1.0, 2.0])
def test_a_calibrated_gaussian_passes_in_twenty_seeds(z):
    claimed, bounds = gaussian_epsilon(z, 1e-5), []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        included = draw.random(1000) < 0.5
        scores = included + draw.normal(0, z, 1000)
        bounds.append(lower_bound(guesses(scores, included, 200), 1e-5))
    assert max(bounds) <= claimed
    assert np.median(bounds) > 0.1 * claimed, "the audit has some power"


def test_a_gaussian_with_a_fifth_of_the_noise_is_caught():
    claimed, caught = gaussian_epsilon(2.0, 1e-5), 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        included = draw.random(1000) < 0.5
        scores = included + draw.normal(0, 0.4, 1000)
        caught += lower_bound(guesses(scores, included, 500), 1e-5) > claimed
    assert caught == 20
