from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models import recalibration as module
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.classifier import build_classifier
from fedrobust.models.facts import NetworkFacts
from fedrobust.models.recalibration import Recalibration, batch_size, recalibration_bytes


def test_statistics_are_exactly_those_of_the_images(draw):
    classifier = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0, momentum=0.7)
    images = draw.integers(0, 256, (40, 28, 28, 1)).astype(np.uint8)
    weights = classifier.initial_weights()
    recalibrated = Recalibration(classifier)(weights, images)
    np.testing.assert_array_equal(recalibrated.trainable, weights.trainable)
    paths = [entry.path for entry in classifier.layout.entries]
    arrays = dict(zip(paths, classifier.layout.unflatten(recalibrated), strict=True))
    features = tf.nn.conv2d(
        images / np.float32(255) * 2 - 1, arrays["stage1_convolution/kernel"], strides=1, padding="SAME"
    ).numpy()
    np.testing.assert_allclose(arrays["stage1_batchnorm/moving_mean"], features.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(arrays["stage1_batchnorm/moving_variance"], features.var((0, 1, 2)), rtol=1e-4)


def test_batches_come_to_the_statistics_of_all_images(monkeypatch, draw):
    """The first layer's input is the same in every batch: its mean and variance are those of all 50 images, exactly."""
    classifier = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
    bright = np.repeat([40, 200], [30, 20])[:, None, None, None]
    images = draw.integers(0, bright, (50, 28, 28, 1)).astype(np.uint8)
    weights = classifier.initial_weights()
    at_once = Recalibration(classifier)(weights, images)
    monkeypatch.setattr(module, "BATCH_VALUES", 16 * 28 * 28)
    assert batch_size(classifier) == 16
    seen = []
    measure = Recalibration(classifier)
    inner = measure._measure
    measure._measure = lambda trainable, batch: seen.append(len(batch)) or inner(trainable, batch)
    in_batches = measure(weights, images)
    assert seen == [13, 13, 12, 12]
    np.testing.assert_array_equal(in_batches.trainable, weights.trainable)
    paths = [entry.path for entry in classifier.layout.entries]
    whole, parts = (
        dict(zip(paths, classifier.layout.unflatten(one), strict=True)) for one in (at_once, in_batches)
    )
    for name in ("moving_mean", "moving_variance"):
        path = f"stage1_batchnorm/{name}"
        np.testing.assert_allclose(parts[path], whole[path], rtol=1e-4, atol=1e-6)
    means = [
        dict(zip(paths, classifier.layout.unflatten(measure(weights, rows)), strict=True))
        for rows in np.array_split(images, 4)
    ]
    spread = np.var([one["stage1_batchnorm/moving_mean"] for one in means], axis=0)
    assert (spread > 0.05 * whole["stage1_batchnorm/moving_variance"]).any(), (
        "batches that are alike show nothing"
    )


@pytest.mark.parametrize("images", [3, 40_000])
def test_the_memory_is_that_of_the_largest_layer_for_one_batch(images):
    """Edge-cnn's first normalisation takes and gives 28 x 28 x 32 float32 an image."""
    classifier = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
    batch = 1024 * 32 * 32 * 3 // (28 * 28)
    assert recalibration_bytes(classifier, images) == 4 * 2 * 28 * 28 * 32 * min(images, batch)


def test_inference_then_equals_training_mode(draw):
    classifier = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
    images = draw.integers(0, 256, (32, 28, 28, 1)).astype(np.uint8)
    recalibrated = Recalibration(classifier)(classifier.initial_weights(), images)
    prepared = tf.constant(images / 255.0, tf.float32)
    arrays = classifier.arrays(recalibrated)
    inference, _ = classifier.logits(*arrays, prepared)
    training, _ = classifier.logits(*arrays, prepared, training=True)
    np.testing.assert_allclose(inference, training, atol=1e-4)


def test_a_model_without_batchnorm_is_left_alone(linear_classifier, draw):
    weights = linear_classifier.initial_weights()
    images = draw.integers(0, 256, (4, 4, 4, 1)).astype(np.uint8)
    assert Recalibration(linear_classifier)(weights, images).digest() == weights.digest()
    assert isinstance(linear_classifier.network, keras.Model)


def test_momenta_that_differ_are_refused():
    """The pass divides by one momentum's share."""
    inputs = keras.Input((4, 4, 1))
    x = FusedBatchNormalization(momentum=0.9)(inputs)
    network = keras.Model(inputs, FusedBatchNormalization(momentum=0.5)(x))
    with pytest.raises(ValueError, match=r"^BatchNorm momenta \[0\.5, 0\.9\]: one for all layers is needed$"):
        Recalibration(SimpleNamespace(facts=NetworkFacts.of(network), layout=None))


def test_the_moments_of_batches_are_put_together_by_their_sizes(monkeypatch, draw):
    """Means of 1 and 5, variances of 2 and 4, of 3 and 1 images: mean 2, variance 2.5 + 3."""
    classifier = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0)
    measure = Recalibration(classifier)
    means, variances = measure._means, measure._variances
    measured = np.zeros((2, classifier.layout.statistics), np.float32)
    measured[:, means], measured[:, variances] = [[1.0], [5.0]], [[2.0], [4.0]]
    found = measure._together(measured, [3, 1])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[means], 2.0)
    np.testing.assert_allclose(found[variances], 5.5)


def test_a_batch_has_two_images_at_least_and_the_largest_layer_counts_all_that_it_takes(monkeypatch):
    inputs = keras.Input((4, 4, 1))
    wide = keras.layers.Conv2D(6, 1)(inputs)
    network = keras.Model(inputs, keras.layers.Concatenate()([wide, inputs, wide]))
    classifier = SimpleNamespace(
        facts=NetworkFacts.of(network), preparation=SimpleNamespace(prepared=(4, 4, 1))
    )
    monkeypatch.setattr(module, "BATCH_VALUES", 16 * 5)
    assert batch_size(classifier) == 5
    assert recalibration_bytes(classifier, 9) == 4 * 16 * (6 + 1 + 6 + 13) * 5
    monkeypatch.setattr(module, "BATCH_VALUES", 16)
    assert batch_size(classifier) == 2
