"""Confusion matrices, ROC curves and reliability diagrams against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics

from fedrobust.evaluation.confusion import confusion_matrix
from fedrobust.evaluation.reliability import reliability
from fedrobust.evaluation.roc_curve import roc_curve


def test_the_confusion_matrix_is_that_of_scikit_learn(draw):
    labels, answers = draw.integers(0, 4, 200), draw.integers(0, 4, 200)
    assert (
        confusion_matrix(labels, answers, 5)[:4, :4].tolist()
        == metrics.confusion_matrix(labels, answers).tolist()
    )
    assert confusion_matrix(labels, answers, 5).shape == (5, 5), "a class without images has its row"


@pytest.mark.parametrize("levels", [3, 20, 10_000])
def test_the_roc_curve_is_that_of_scikit_learn(draw, levels):
    """Few levels: many ties."""
    positive = draw.random(50) < 0.4
    score = np.round(draw.normal(positive.astype(float)) * levels) / levels
    every = np.stack(metrics.roc_curve(positive, score, drop_intermediate=False)[:2], axis=1)
    corners = roc_curve(positive, score, most=1000)
    assert {tuple(point) for point in corners.round(9)} <= {tuple(point) for point in every.round(9)}
    assert metrics.auc(*corners.T) == pytest.approx(metrics.roc_auc_score(positive, score))
    first, second = np.diff(corners, axis=0)[:-1], np.diff(corners, axis=0)[1:]
    assert (np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) > 1e-9).all(), (
        "each point is a corner"
    )


def test_a_long_curve_is_thinned_and_keeps_its_area_and_ends(draw):
    positive = draw.random(5000) < 0.3
    score = draw.normal(positive.astype(float))
    points = roc_curve(positive, score)
    assert 40 < len(points) <= 61
    assert points[[0, -1]].tolist() == [[0, 0], [1, 1]]
    assert (np.diff(points, axis=0) >= 0).all()
    assert metrics.auc(*points.T) == pytest.approx(metrics.roc_auc_score(positive, score), abs=0.003)


def test_groups_of_equal_size_hold_every_prediction_once(draw):
    confidence = draw.uniform(0.5, 1, 103)
    right = draw.random(103) < confidence
    found = reliability(right, confidence)
    assert sorted(one.n for one in found) == [10] * 7 + [11] * 3
    assert sum(one.correct for one in found) == right.sum()
    assert np.dot([one.n for one in found], [one.confidence for one in found]) == pytest.approx(
        confidence.sum()
    )
    assert [one.confidence for one in found] == sorted(one.confidence for one in found)


def test_equal_confidences_are_one_group():
    assert [one.n for one in reliability(np.ones(30, bool), np.repeat([0.6, 1.0], [5, 25]))] == [5, 25]
