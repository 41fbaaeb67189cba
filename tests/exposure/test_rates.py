"""True positive rates at low false positive rates, counted by hand and resampled."""

import numpy as np
import pytest
from scipy import stats

from fedrobust.exposure.rates import area, clopper_pearson, mean_aucs, pooled, rate_at, weighted_rates


def test_clopper_pearson_is_the_inversion_of_two_binomial_tests():
    for successes, n in [(0, 7), (3, 20), (19, 20), (50, 50)]:
        low, high = clopper_pearson(successes, n)
        if successes:
            assert stats.binom.sf(successes - 1, n, low) == pytest.approx(0.025)
        if successes < n:
            assert stats.binom.cdf(successes, n, high) == pytest.approx(0.025)


def test_a_rate_is_that_of_the_lowest_threshold_with_few_enough_false_positives():
    draw = np.random.default_rng(0)
    scores, members = draw.normal(size=500).round(1), draw.random(500) < 0.4  # with many ties
    for asked in (0.01, 0.1, 0.5):
        best = max(
            float((scores[members] > threshold).mean())
            for threshold in [-np.inf, *scores]
            if (scores[~members] > threshold).mean() <= asked
        )
        rate = rate_at(scores, members, asked)
        assert rate.value == best
        assert rate.false <= asked * rate.others
        assert rate.interval == clopper_pearson(rate.found, rate.members)


def test_too_few_others_resolve_no_rate():
    scores, members = np.arange(300.0), np.arange(300) >= 201
    assert rate_at(scores, members, 0.001).value is None
    assert rate_at(scores, members, 0.01).value == 1
    assert rate_at(scores, members, 1 / 201).value == 1
    assert rate_at(scores, members, 1 / 202).value is None


def test_scores_that_are_all_alike_find_nobody():
    rate = rate_at(np.zeros(400), np.arange(400) < 200, 0.01)
    assert (rate.value, rate.false) == (0.0, 0)
    assert area(np.zeros(400), np.arange(400) < 200)[0] == 0.5


def test_counts_are_repetitions_of_images():
    draw = np.random.default_rng(1)
    scores, members = draw.normal(size=(3, 60)).round(1), draw.random((3, 60)) < 0.5
    counts = draw.integers(0, 4, (5, 60)).astype(float)
    areas = mean_aucs(scores, members, counts)
    for row, repeats in enumerate(counts.astype(int)):
        seen, there = (np.repeat(each, repeats, axis=1) for each in (scores, members))
        expected = [area(one, inside)[0] for one, inside in zip(seen, there, strict=True)]
        assert areas[row] == pytest.approx(np.mean(expected))
        for asked in (0.02, 0.2):
            rate = rate_at(seen.ravel(), there.ravel(), asked).value
            assert weighted_rates(scores, members, asked, counts)[row] == pytest.approx(rate)


def test_the_pooled_interval_covers_the_mean_of_targets_with_shared_images():
    """Each image has a score of its own at all targets: the images, not the targets, are what is sampled."""
    covered = 0
    for seed in range(24):
        draw = np.random.default_rng(seed)
        members = draw.random((4, 150)) < 0.5
        vulnerable = draw.random(150) < 0.3
        scores = draw.normal(size=(4, 150)) + 2 * (members & vulnerable)
        low, high = pooled(scores, members, seed).interval
        truth = 0.7 * 0.5 + 0.3 * stats.norm.cdf(2 / np.sqrt(2))
        covered += low <= truth <= high
    assert covered >= 20
