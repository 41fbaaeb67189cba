"""Randomised smoothing: closed forms of a linear classifier, the confidence limit, and what may not be certified."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from fedrobust.evaluation.smoothing import ABSTAINS, Certificate, Smoothing, lower_limit

SIDE = 4
SLOPE = np.linspace(-1, 1, SIDE * SIDE).astype(np.float32)
LENGTH = float(np.linalg.norm(SLOPE))


def linear(images):
    """Class 1 where the slope's product with the image is positive: the distance to the boundary is known."""
    value = images.reshape(len(images), -1) @ SLOPE
    return np.stack([-value, value], axis=1)


def image_at(distance):
    """Return an image at a signed l2 distance from the boundary."""
    flat = 0.5 - SLOPE * (0.5 * SLOPE.sum() / LENGTH**2)
    return (flat + distance * SLOPE / LENGTH).reshape(SIDE, SIDE, 1).astype(np.float32)


def certified(distance, seed=0, **settings) -> Certificate:
    smoothing = Smoothing(**{"sigma": 0.5, "samples": 2000, **settings})
    return smoothing.certify(linear, image_at(distance), 2, np.random.default_rng(seed))


@pytest.mark.parametrize("distance", [0.2, 0.5, -0.4])
def test_the_radius_of_a_linear_classifier_is_nearly_its_distance_and_not_more(distance):
    """Under noise it answers right with probability Phi(distance / sigma): the radius would be the distance."""
    found = [certified(distance, seed) for seed in range(20)]
    assert {one.label for one in found} == {int(distance > 0)}
    radii = np.array([one.radius for one in found])
    assert (radii <= abs(distance)).all()
    assert radii.mean() > 0.75 * abs(distance)
    expected = norm.cdf(abs(distance) / 0.5)
    assert np.mean([one.share for one in found]) == pytest.approx(expected, abs=0.01)


def test_at_the_boundary_it_abstains():
    found = [certified(0.0, seed, samples=500) for seed in range(40)]
    assert sum(one.label != ABSTAINS for one in found) <= 1
    assert all(one.radius == 0 for one in found if one.label == ABSTAINS)


def test_a_constant_classifier_has_the_largest_radius():
    smoothing = Smoothing(sigma=0.25, samples=1000, alpha=0.001)
    constant = lambda images: np.tile(np.float32([0, 1]), (len(images), 1))  # noqa: E731
    found = smoothing.certify(constant, image_at(0.1), 2, np.random.default_rng(0))
    assert found == Certificate(1, smoothing.largest_radius, 1.0, (0.0, 1.0))
    assert smoothing.largest_radius == pytest.approx(0.25 * norm.ppf(0.001 ** (1 / 1000)))


def test_answers_that_are_no_numbers_count_for_no_class():
    nothing = lambda images: np.full((len(images), 2), np.nan, np.float32)  # noqa: E731
    found = Smoothing(sigma=0.1, samples=200).certify(nothing, image_at(1.0), 2, np.random.default_rng(0))
    assert found == Certificate(ABSTAINS, 0.0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize(("p", "n"), [(0.55, 50), (0.9, 100), (0.99, 1000)])
def test_the_lower_limit_is_too_large_in_at_most_alpha_of_all_samples(p, n):
    hits = np.arange(n + 1)
    above = np.array([lower_limit(int(each), n, 0.05) for each in hits]) > p
    assert binom.pmf(hits[above], n, p).sum() <= 0.05
    assert lower_limit(n, n, 0.05) == pytest.approx(0.05 ** (1 / n))


def test_batches_and_their_order_do_not_matter_to_the_number_of_samples():
    asked = []

    def answer(images):
        asked.append(len(images))
        return linear(images)

    smoothing = Smoothing(sigma=0.1, selection=5, samples=23, batch=10)
    smoothing.certify(answer, image_at(0.3), 2, np.random.default_rng(0))
    assert asked == [5, 10, 10, 3]
