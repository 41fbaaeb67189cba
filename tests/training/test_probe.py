"""Logits and input gradients at any weights, against those of a linear model."""

import numpy as np

from fedrobust.models.layout import Weights
from fedrobust.training.probe import Probe


def test_a_linear_model(linear_classifier, draw):
    images = draw.integers(0, 256, (150, 4, 4, 1), np.uint8)
    labels = draw.integers(0, 2, 150)
    weights = Weights(draw.standard_normal(34).astype(np.float32), np.zeros(0, np.float32))
    kernel, bias = weights.trainable[:32].reshape(16, 2), weights.trainable[32:]
    expected = images.reshape(150, 16) / 255 @ kernel + bias
    probe = Probe(linear_classifier)
    logits = probe.logits(weights, images)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    p = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
    slopes = (p - np.eye(2)[labels]) @ kernel.T
    found = probe.gradients(weights, (images / 255).astype(np.float32), labels)
    np.testing.assert_allclose(found.reshape(150, 16), slopes, atol=1e-5)


def test_without_images_there_is_nothing(linear_classifier):
    weights = linear_classifier.initial_weights()
    assert Probe(linear_classifier).logits(weights, np.zeros((0, 4, 4, 1), np.uint8)).shape == (0, 2)
    empty = np.zeros((0, 4, 4, 1), np.float32)
    assert Probe(linear_classifier).gradients(weights, empty, np.zeros(0, np.int32)).shape == empty.shape
