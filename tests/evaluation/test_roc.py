from math import sqrt

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score

from fedrobust.evaluation.intervals import wilson
from fedrobust.evaluation.roc import area_under_roc, degrees_of_freedom, logit_interval, roc_influence


def literal_delong_variance(positives, negatives):
    """DeLong et al. (1988) for one curve, with the kernel written out for every pair."""
    psi = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in negatives] for x in positives]
    m, n = len(positives), len(negatives)
    theta = sum(map(sum, psi)) / (m * n)
    v10 = [sum(row) / n for row in psi]
    v01 = [sum(psi[i][j] for i in range(m)) / m for j in range(n)]
    s10 = sum((v - theta) ** 2 for v in v10) / (m - 1)
    s01 = sum((v - theta) ** 2 for v in v01) / (n - 1)
    return theta, s10 / m + s01 / n


@pytest.mark.parametrize("tied", [False, True])
def test_binary_variance_is_delongs(tied):
    rng = np.random.default_rng(2)
    labels = rng.permutation(np.repeat([0, 1], [31, 17]))
    score = rng.standard_normal(48) + labels
    score = np.round(score * 2) if tied else score
    theta, variance = literal_delong_variance(score[labels == 1].tolist(), score[labels == 0].tolist())
    area = area_under_roc(labels, np.column_stack([-score, score]))
    assert area.value == pytest.approx(theta, abs=1e-14)
    assert area.variance == pytest.approx(variance, rel=1e-12)
    assert area.interval == pytest.approx(logit_interval(theta, variance, degrees=area.degrees), rel=1e-12)


def test_degrees_of_freedom_count_the_images_that_decide():
    rng = np.random.default_rng(9)
    assert degrees_of_freedom(np.zeros(10)) == 0
    assert degrees_of_freedom(np.array([1.0, -1.0])) == 2
    assert degrees_of_freedom(rng.standard_normal(4000)) == pytest.approx(4000, rel=0.15)
    few = np.concatenate([np.ones(3), np.full(1000, 1e-3)])
    assert degrees_of_freedom(few) == pytest.approx(6, abs=0.1), "2 (3)^2 / 3"
    assert degrees_of_freedom(7 * few) == pytest.approx(degrees_of_freedom(few))


def test_students_t_widens_the_logit_interval():
    low, high = logit_interval(0.9, 0.03**2, degrees=3)
    reach = t.ppf(0.975, 3) * 0.03 / 0.09
    assert (low, high) == pytest.approx((expit(logit(0.9) - reach), expit(logit(0.9) + reach)))


def test_the_variance_of_a_mean_is_that_of_all_pairs_of_classes():
    # Var(mean) = sum over pairs of classes of the covariances of their areas; the diagonal is DeLong's own.
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 60)
    scores = rng.standard_normal((60, 3)) + np.eye(3)[labels]
    influences = np.array([roc_influence(labels == c, scores[:, c])[1] for c in range(3)])
    covariance = influences @ influences.T
    for c in range(3):
        own = literal_delong_variance(scores[labels == c, c].tolist(), scores[labels != c, c].tolist())[1]
        assert covariance[c, c] == pytest.approx(own, rel=1e-12)
    assert area_under_roc(labels, scores).variance == pytest.approx(covariance.sum() / 9, rel=1e-12)


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("levels", [3, 20, None])
def test_value_equals_scikit_learns_with_and_without_ties(classes, levels):
    rng = np.random.default_rng(4)
    labels = rng.choice(classes, 400, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    scores = rng.random((400, classes)) + 0.2 * np.eye(classes)[labels]
    scores = scores if levels is None else np.floor(scores * levels)
    columns = [1] if classes == 2 else range(classes)
    expected = np.mean([roc_auc_score(labels == c, scores[:, c]) for c in columns])
    assert area_under_roc(labels, scores).value == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize(("positives", "negatives", "truth"), [(30, 30, 0.8), (42, 114, 0.97), (15, 60, 0.9)])
def test_the_binary_interval_covers_the_true_area(positives, negatives, truth):
    rng = np.random.default_rng(5)
    labels = np.repeat([1, 0], [positives, negatives])
    # Two normal scores at distance d have area Phi(d / sqrt 2).
    draws = rng.standard_normal((2000, labels.size)) + sqrt(2) * norm.ppf(truth) * labels
    limits = np.array([area_under_roc(labels, np.column_stack([-s, s])).interval for s in draws])
    coverage = np.mean((limits[:, 0] <= truth) & (truth <= limits[:, 1]))
    assert 0.92 <= coverage <= 0.98


def test_the_interval_of_a_mean_covers_the_true_mean():
    rng = np.random.default_rng(6)
    centres = 1.5 * np.eye(3)

    def draw(n):
        labels = rng.choice(3, n, p=[0.2, 0.3, 0.5])
        return labels, centres[labels] + rng.standard_normal((n, 3))

    truth = norm.cdf(1.5 / sqrt(2))
    limits = np.array([area_under_roc(*draw(120)).interval for _ in range(2000)])
    coverage = np.mean((limits[:, 0] <= truth) & (truth <= limits[:, 1]))
    assert 0.92 <= coverage <= 0.98


def test_a_perfect_order_falls_back_to_the_scarcer_side():
    labels = np.repeat([0, 1], [50, 8])
    area = area_under_roc(labels, np.column_stack([-labels, labels]).astype(float))
    assert (area.value, area.variance) == (1.0, 0.0)
    assert area.interval == pytest.approx(wilson(8, 8))


def test_constant_scores_have_an_interval():
    labels = np.repeat([0, 1], [50, 8])
    area = area_under_roc(labels, np.zeros((58, 2)))
    assert (area.value, area.variance) == (0.5, 0.0)
    assert area.interval == pytest.approx(wilson(4, 8))


def test_one_positive_alone_has_no_spread_to_estimate():
    rng = np.random.default_rng(7)
    area = area_under_roc(np.arange(40) // 39, rng.standard_normal((40, 2)))
    assert area.interval == pytest.approx(wilson(area.value, 1))


def test_absent_classes_are_left_out_and_said():
    rng = np.random.default_rng(8)
    labels = rng.choice([0, 2], 50)
    scores = rng.standard_normal((50, 4))
    area = area_under_roc(labels, scores)
    assert area.classes == (0, 2)
    assert area.value == pytest.approx(np.mean([roc_auc_score(labels == c, scores[:, c]) for c in (0, 2)]))
    assert area_under_roc(np.zeros(5, int), rng.standard_normal((5, 3))) is None
