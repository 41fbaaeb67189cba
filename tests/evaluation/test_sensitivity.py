import numpy as np
import pytest
from scipy.special import softmax

from fedrobust.evaluation.intervals import wilson
from fedrobust.evaluation.metrics import log_odds
from fedrobust.evaluation.sensitivity import disease_score, sensitivity_at


@pytest.mark.parametrize("healthy", [9, 10, 11, 70, 156])
def test_the_threshold_is_the_kth_smallest_healthy_score(healthy):
    """At 90 %, of ten healthy one is called ill: of scores 1 .. h the threshold is ceil(0.9 h), itself not above."""
    scores = np.arange(1.0, healthy + 1)
    k = -(-9 * healthy // 10)
    ill = np.array([k - 0.5, k, k + 0.5, healthy + 1.0])
    diseased = np.repeat([False, True], [healthy, 4])
    found = sensitivity_at(np.concatenate([scores, ill]), diseased, 0.9)
    assert (found.value, found.found) == (0.5, 2)
    assert (scores <= k).mean() >= 0.9 > (scores <= k - 1).mean(), "no lower threshold leaves so many alone"


def test_disease_is_the_sum_of_its_labels(draw):
    logits = 3 * draw.normal(size=(50, 5))
    chance = softmax(logits, axis=1)[:, [1, 3]].sum(axis=1)
    assert disease_score(logits, (1, 3)) == pytest.approx(np.log(chance / (1 - chance)))
    assert disease_score(logits, (2,)) == pytest.approx(log_odds(logits)[:, 2])


def test_the_order_outlasts_the_precision_of_probabilities():
    logits = np.array([[900.0, 0.0, 0.0], [0.0, 901.0, 0.0], [0.0, 0.0, 2000.0]])
    scores = disease_score(logits, (0, 1))
    assert scores == pytest.approx([900, 901, -2000], abs=1)
    assert np.isfinite(scores).all()
    assert scores[0] < scores[1]


def test_the_variance_is_the_bootstraps(draw):
    """Twenty thousand resamples of healthy and diseased give the variance that is summed here."""
    healthy, ill = draw.normal(size=40), draw.normal(size=30) + 1.5
    scores, diseased = np.concatenate([healthy, ill]), np.repeat([False, True], [40, 30])
    found = sensitivity_at(scores, diseased, 0.9)
    thresholds = np.sort(draw.choice(healthy, (20_000, 40)), axis=1)[:, 35]
    resampled = (draw.choice(ill, (20_000, 30)) > thresholds[:, None]).mean(axis=1)
    # Solve for the images of the interval: its width is Wilson's.
    sizes = np.linspace(3, 30, 2000)
    lows, highs = wilson(found.value * sizes, sizes)
    images = sizes[np.argmin(np.abs(highs - lows - np.diff(found.interval)))]
    share = (found.found + 0.5) / 31
    within = share * (1 - share) / 30
    between = resampled.var() - np.mean(
        [(ill > one).mean() * (1 - (ill > one).mean()) / 30 for one in thresholds[:4000]]
    )
    assert share * (1 - share) / images == pytest.approx(within + between, rel=0.05)


def test_a_threshold_that_is_known_leaves_wilsons_interval():
    """All healthy scores alike: every sample of them has the same threshold."""
    scores = np.concatenate([np.zeros(100), np.repeat([-1.0, 1.0], [10, 30])])
    found = sensitivity_at(scores, np.repeat([False, True], [100, 40]), 0.9)
    assert found.interval == pytest.approx(wilson(30, 40))


def test_fewer_are_found_where_more_are_left_alone(draw):
    diseased = draw.random(400) < 0.3
    scores = draw.normal(size=400) + 2 * diseased
    found = [sensitivity_at(scores, diseased, specificity).value for specificity in (0.5, 0.9, 0.99)]
    assert found[0] > found[1] > found[2]
