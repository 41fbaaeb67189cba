"""Labels from the gradient of the last bias."""

import numpy as np
import pytest

from fedrobust.leakage.labels import restored_labels


@pytest.mark.parametrize("images", [1, 4, 8])
def test_labels_of_a_batch_are_restored_where_the_mean_softmax_is_known(images):
    draw = np.random.default_rng(images)
    for _ in range(20):
        logits, labels = draw.normal(size=(images, 5)), draw.integers(0, 5, images)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        slope = (p - np.eye(5)[labels]).mean(axis=0)
        np.testing.assert_array_equal(restored_labels(slope, p.mean(axis=0), images), np.sort(labels))


def test_one_label_needs_no_softmax():
    slope = np.array([0.2, -0.9, 0.7])
    assert restored_labels(slope, np.zeros(3), 1).tolist() == [1]
    assert restored_labels(slope * 1e-6, np.ones(3), 1).tolist() == [1]


def test_counts_are_rounded_to_the_number_of_images():
    found = restored_labels(np.array([-0.30, 0.1, 0.2]), np.array([0.3, 0.4, 0.3]), 7)
    assert len(found) == 7
    assert np.bincount(found, minlength=3).tolist() == [4, 2, 1]
