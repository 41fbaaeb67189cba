from math import sqrt

import numpy as np
import pytest
from scipy.stats import binom, binomtest, chi2, norm

from fedrobust.evaluation.intervals import mean_of_proportions, too_few, wilson


def test_wilson_of_half_of_four_is_the_closed_form():
    # p_hat = 1/2, n = 4: (1/2 + z^2/8 ± z sqrt(1/16 + z^2/64)) / (1 + z^2/4), by hand.
    z = norm.ppf(0.975)
    reach = z * sqrt(1 / 16 + z**2 / 64)
    expected = ((0.5 + z**2 / 8 - reach) / (1 + z**2 / 4), (0.5 + z**2 / 8 + reach) / (1 + z**2 / 4))
    assert wilson(2, 4) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (0, 42), (3, 42), (4, 156), (114, 156), (152, 156), (2005, 2005)]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_equals_scipy(successes, n, confidence):
    theirs = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("n", "most"), [(50, 2), (51, 3), (2005, 3)])
def test_few_successes_have_a_poisson_limit(n, most):
    """Brown, Cai and DasGupta (2001), Section 4.1.1: half of chi-square's 5 % quantile with 2 k degrees, over n."""
    for count in range(1, most + 1):
        low, high = wilson(count, n)
        assert low == pytest.approx(chi2.ppf(0.05, 2 * count) / 2 / n, rel=1e-9)
        assert high == pytest.approx(binomtest(count, n).proportion_ci(method="wilson").high)
        assert wilson(n - count, n) == pytest.approx((1 - high, 1 - low))
    theirs = binomtest(most + 1, n).proportion_ci(method="wilson")
    assert wilson(most + 1, n) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("n", [42, 156, 624, 2005])
def test_the_interval_of_a_share_covers_or_says_that_it_does_not(n):
    """By summation over all samples, for 2,000 true shares, down to a thousandth of an image."""
    hits = np.arange(n + 1)
    low, high = wilson(hits, np.full(n + 1, n))
    few = np.array([too_few(k, n) is not None for k in hits])
    truths = np.concatenate(
        [np.linspace(0.5, 1, 1000, endpoint=False), 1 - np.geomspace(1e-3 / n, 0.5, 1000)]
    )
    for share in truths:
        law = binom.pmf(hits, n, share)
        covered = law[(low <= share) & (share <= high)].sum()
        assert covered > 0.915, share
        assert 0.92 <= covered <= 0.98 or law[few].sum() > 0.5, (share, covered)


def test_wilson_limits_solve_the_score_equation():
    z = norm.ppf(0.975)
    for limit in wilson(30, 42):
        assert abs(30 / 42 - limit) == pytest.approx(z * sqrt(limit * (1 - limit) / 42), rel=1e-12)


def test_wilson_of_arrays_is_wilson_of_each():
    low, high = wilson(np.array([0, 3, 7]), np.array([7, 7, 7]))
    assert [(a, b) for a, b in zip(low, high, strict=True)] == [wilson(k, 7) for k in (0, 3, 7)]
    assert low[0] == 0.0
    assert high[2] == 1.0


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 0), (1, -1), (5, 4), (-1, 4), (float("nan"), 4), ([1, 5], [4, 4])]
)
def test_wilson_refuses_what_is_no_proportion(successes, n):
    with pytest.raises(ValueError, match=r"n = "):
        wilson(successes, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence)


def test_the_mean_of_one_proportion_is_wilson():
    assert mean_of_proportions([17], [20]) == pytest.approx(wilson(17, 20), abs=1e-15)


def test_the_mean_of_proportions_covers_the_true_mean():
    rng = np.random.default_rng(1)
    rates, images = np.array([0.95, 0.6, 0.8]), np.array([20, 60, 35])
    draws = rng.binomial(images, rates, (4000, 3))
    limits = np.array([mean_of_proportions(row, images) for row in draws])
    coverage = np.mean((limits[:, 0] <= rates.mean()) & (rates.mean() <= limits[:, 1]))
    assert 0.93 <= coverage <= 0.98


def test_no_proportions_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        mean_of_proportions([], [])
