import numpy as np
import pytest

from fedrobust.defences.median import Median
from fedrobust.defences.smoothing import Smoothing
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import Recalibration
from fedrobust.models.statistics_behind_defence import behind_defence, moved


def network(defence=None):
    return build_classifier("edge-cnn(width=4)", (16, 16, 1), 2, image_size=0, defence=defence)


@pytest.fixture
def images(draw):
    return draw.integers(0, 256, (24, 16, 16, 1)).astype(np.uint8)


@pytest.fixture
def weights(draw):
    start = network().initial_weights()
    noise = 1 + 0.2 * draw.standard_normal(start.statistics.shape).astype(np.float32) ** 2
    return Weights(start.trainable, noise)


def test_a_defence_that_changes_nothing_changes_no_statistic(images, weights):
    found = behind_defence(network(lambda shown: shown), weights, images)
    np.testing.assert_array_equal(found.statistics, weights.statistics)
    np.testing.assert_array_equal(found.trainable, weights.trainable)


def test_without_a_defence_weights_stay_the_same_object(images, weights):
    assert behind_defence(network(), weights, images) is weights


def test_statistics_measured_on_the_same_images_become_those_behind_the_defence(images, weights):
    behind = network(Median(size=3))
    measured = Recalibration(network())(weights, images)
    filtered = np.round(np.asarray(Median(size=3)(images / np.float32(255))) * 255).astype(np.uint8)
    expected = Recalibration(network())(weights, filtered)
    found = behind_defence(behind, measured, images)
    assert np.abs(expected.statistics - measured.statistics).max() > 0.1, "the filter does nothing"
    np.testing.assert_allclose(found.statistics, expected.statistics, atol=1e-4, rtol=1e-3)


def test_a_vote_measures_its_noisy_copies(images, weights):
    vote = Smoothing(sigma=0.2, samples=4)
    copies = np.asarray(vote(images / np.float32(255)))
    classifier = network(vote)
    paths = [entry.path for entry in classifier.layout.entries]
    measured = Recalibration(classifier, defended=True)(weights, images)
    arrays = dict(zip(paths, classifier.layout.unflatten(measured), strict=True))
    kernel = arrays["stage1_convolution/kernel"]
    # One convolution of the copies by hand, with zeros around them.
    padded = np.pad(2 * copies - 1, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = sum(padded[:, i : i + 16, j : j + 16, :] @ kernel[i, j] for i in range(3) for j in range(3))
    np.testing.assert_allclose(arrays["stage1_batchnorm/moving_mean"], seen.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(arrays["stage1_batchnorm/moving_variance"], seen.var((0, 1, 2)), rtol=1e-3)


def test_means_move_by_the_difference_and_variances_by_the_ratio():
    without, behind = np.array([0.5, 2.0, 0.0], np.float32), np.array([0.7, 1.0, 0.0], np.float32)
    own = np.array([1.0, 4.0, 3.0], np.float32)
    assert moved(own, without, behind, np.array([1, 2])).astype(float).round(2).tolist() == [1.2, 2.0, 3.0]
    assert moved(own, behind, without, np.array([1, 2])).astype(float).round(2).tolist() == [0.8, 8.0, 3.0]


def test_no_variance_becomes_negative():
    own, without, behind = (np.array([value], np.float32) for value in (0.0, 1.0, 0.0))
    assert moved(own, without, behind, np.array([0])).tolist() == [0.0]
