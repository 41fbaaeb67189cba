import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from fedrobust.evaluation.matthews import matthews_interval
from fedrobust.evaluation.metrics import measure
from fedrobust.evaluation.scores import GRADED, QuadraticKappa
from fedrobust.evaluation.scores.quadratic_kappa import kappa, kappa_interval


@pytest.mark.parametrize("grades", [2, 3, 5])
def test_it_is_sklearns(draw, grades):
    labels = draw.integers(0, grades, 300)
    logits = draw.normal(size=(300, grades)) + 2 * np.exp(-np.abs(labels[:, None] - np.arange(grades)))
    expected = cohen_kappa_score(labels, logits.argmax(1), weights="quadratic")
    assert QuadraticKappa()(labels, logits) == pytest.approx(expected)
    assert measure(labels, logits, further=GRADED).further["quadratic-kappa"] == pytest.approx(expected)


def test_a_constant_classifier_has_none():
    labels = np.array([0, 1, 2, 2, 1])
    assert QuadraticKappa()(labels, np.tile([0.0, 1.0, 0.0], (5, 1))) == QuadraticKappa.constant == 0.0


def test_an_error_of_two_grades_counts_four_times_one_of_one():
    near, far = np.diag([10.0, 10, 10]), np.diag([10.0, 10, 10])
    near[[0, 2], [1, 1]] += 2
    far[[0, 2], [2, 0]] += 0.5
    assert (1 - kappa(near)) / (1 - kappa(far)) == pytest.approx(1, abs=0.15)


def test_its_interval_covers_the_true_value(draw):
    """Of 500 samples of a known table of 5 grades."""
    table = 0.1 + 3 * np.exp(-np.abs(np.arange(5)[:, None] - np.arange(5)) * 1.5)
    table *= np.array([0.4, 0.2, 0.2, 0.15, 0.05])[:, None]
    table /= table.sum()
    true = kappa(table)
    covered = 0
    for _ in range(500):
        low, high = kappa_interval(draw.multinomial(400, table.ravel()).reshape(5, 5).astype(float))
        covered += low <= true <= high
    assert 0.92 < covered / 500 < 0.98


def test_where_all_grades_are_right_its_limit_is_that_of_the_correlation():
    for n in (2, 20, 200):
        right = np.diag([n / 2, n / 2])
        assert kappa_interval(right) == pytest.approx(matthews_interval(right)[0])
    # The rarer a grade, the less an accuracy says.
    assert kappa_interval(np.diag([95.0, 5]))[0] < kappa_interval(np.diag([50.0, 50]))[0]
    assert kappa_interval(np.diag([1.0, 300]), 0.999) == (-1.0, 1.0)


def test_its_interval_covers_where_samples_are_often_all_right(draw):
    """A table of two grades with 5 % of errors; of samples of 40, one in eight has none."""
    table = np.array([[0.475, 0.025], [0.025, 0.475]])
    true, covered = kappa(table), 0
    for _ in range(1000):
        low, high = kappa_interval(draw.multinomial(40, table.ravel()).reshape(2, 2).astype(float))
        covered += low <= true <= high
    assert covered / 1000 >= 0.92


@pytest.mark.parametrize("confusion", [np.diag([5.0, 5, 5]), np.array([[0.0, 9, 0], [0, 9, 0], [0, 9, 0]])])
def test_its_interval_is_never_without_width(confusion):
    low, high = kappa_interval(confusion)
    assert low < high
    assert low <= kappa(confusion) <= high
