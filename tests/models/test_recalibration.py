import keras
import numpy as np
import tensorflow as tf

from fedrobust.models.classifier import build_classifier
from fedrobust.models.recalibration import Recalibration


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
