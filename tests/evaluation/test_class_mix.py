import numpy as np
import pytest

from fedrobust.evaluation.class_mix import expected_accuracy, gain, known_mix


def test_accuracy_is_the_recalls_weighted_by_the_clients_shares():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    right = np.concatenate([np.arange(10) < 5, np.arange(20) < 20, np.arange(30) < 3])
    accuracy, balanced = expected_accuracy(labels, right, np.array([0.5, 0.5, 0.0]))
    assert (accuracy, balanced) == (0.75, 0.75)
    accuracy, balanced = expected_accuracy(labels, right, np.array([0.2, 0.0, 0.8]))
    assert accuracy == pytest.approx(0.2 * 0.5 + 0.8 * 0.1)
    assert balanced == pytest.approx((0.5 + 0.1) / 2)


def test_classes_without_test_images_are_left_out_of_the_mix():
    labels = np.array([0, 0, 2])
    np.testing.assert_allclose(known_mix(labels, np.array([0.25, 0.5, 0.25])), [0.5, 0, 0.5])
    assert known_mix(labels, np.array([0.0, 1.0, 0.0])) is None


def test_one_class_gives_the_interval_of_agresti_and_min():
    """Of 50 images, 12 are right with the first model alone and 3 with the second."""
    labels = np.zeros(50, int)
    one, other = np.arange(50) < 30, (np.arange(50) >= 12) & (np.arange(50) < 33)
    found = gain(labels, one, other, np.array([1.0]), confidence=0.95)
    n, b, c = 52, 12.5, 3.5
    middle, deviation = (b - c) / n, np.sqrt((b + c) - (b - c) ** 2 / n) / n
    assert found.value == pytest.approx(9 / 50)
    np.testing.assert_allclose(
        found.interval, [middle - 1.96 * deviation, middle + 1.96 * deviation], atol=1e-4
    )


def test_models_that_answer_alike_are_not_known_to_be_alike():
    found = gain(np.zeros(20, int), np.ones(20, bool), np.ones(20, bool), np.array([1.0]), confidence=0.95)
    assert found.value == 0
    assert found.interval[0] < 0 < found.interval[1]


def test_intervals_cover_the_true_gain_of_an_uneven_client():
    """Two classes of 40 and 60 images, of which the client has 0.8 and 0.2."""
    draw = np.random.default_rng(0)
    labels, mix = np.repeat([0, 1], [40, 60]), np.array([0.8, 0.2])
    better, worse = np.array([0.9, 0.6])[labels], np.array([0.7, 0.75])[labels]
    truth = 0.8 * 0.2 - 0.2 * 0.15
    covered = 0
    for _ in range(1500):
        level = draw.random(100)  # an image that is hard is hard for both
        low, high = gain(labels, level < better, level < worse, mix, confidence=0.95).interval
        covered += low <= truth <= high
    assert 0.93 < covered / 1500 < 0.985
