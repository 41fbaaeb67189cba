"""Crafted heads in closed form: a client of plain SGD, whose gradient is written out."""

import numpy as np
import pytest

from fedrobust.leakage.attacks.feature_fishing import FeatureFishing, whitened


def descended(head, features, labels, rate=0.05):
    """Return what one whole step of SGD changes of a head: minus rate times mean (softmax - label) by features."""
    rows = np.column_stack([features, np.ones(len(features))])
    logits = rows @ head
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(labels)), labels] -= 1
    return -rate * rows.T @ p / len(labels)


def world(seed, classes, images=24, wide=400):
    draw = np.random.default_rng(seed)
    features = np.maximum(draw.normal(1.0, 1.0, (images, wide)) * draw.uniform(0.2, 2.0, wide), 0)
    return features, draw.integers(0, classes, images), np.maximum(draw.normal(1.0, 1.0, (80, wide)), 0)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_a_member_is_the_only_image_between_the_hyperplanes_and_is_read_from_the_updates(classes):
    features, labels, own = world(classes, classes)
    attack, members = FeatureFishing(), slice(0, 12)
    for image in range(24):
        heads = attack.heads(features[image], labels[image], own, classes)
        updates = np.stack([descended(head, features[members], labels[members]) for head in heads])
        score = attack.score(features[image], labels[image], updates)
        if image < 12:
            assert score == pytest.approx(1.0, abs=1e-3)
            # Minus rate times the mean of 12: the image itself, once for its label and once against the other answer.
            apart = (updates[0] - updates[1])[:-1, labels[image]]
            np.testing.assert_allclose(apart * 12 / 0.05, features[image], rtol=0.02)
        else:
            # Nobody is in between: softmaxes that are not quite 0 or 1 leave a trace.
            apart = np.abs(updates[0] - updates[1]).max() * 12 / 0.05
            assert apart < 0.01 * np.abs(features[image]).max()


def test_both_classes_in_between_point_along_their_features():
    """An image of the other answer is wrong under the second head, where one of the label is right."""
    attack, features = FeatureFishing(), np.array([2.0, 1.0, 0.0])
    own = np.random.default_rng(0).normal(0, 0.1, (20, 3))
    heads = attack.heads(features, 0, own, 2)
    for label in (0, 1):
        updates = np.stack([descended(head, features[None], np.array([label])) for head in heads])
        assert attack.score(features, 0, updates) == pytest.approx(1.0)


def test_equal_updates_score_zero():
    assert FeatureFishing().score(np.ones(3), 1, np.zeros((2, 4, 2))) == 0.0


def test_whitening_is_the_inverse_of_the_covariance_with_a_ridge():
    draw = np.random.default_rng(1)
    rows, vector = draw.normal(size=(12, 30)), draw.normal(size=30)
    rows -= rows.mean(axis=0)
    covariance = rows.T @ rows / 12
    floor = 0.3 * np.trace(covariance) / 12
    np.testing.assert_allclose(
        whitened(vector, rows, 0.3), np.linalg.solve(covariance + floor * np.eye(30), vector)
    )
