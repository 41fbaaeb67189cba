import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.batchnorm import FusedBatchNormalization


def pair(**settings):
    """Keras' layer and ours with the same random variables."""
    layers = [
        cls(momentum=0.9, **settings) for cls in (keras.layers.BatchNormalization, FusedBatchNormalization)
    ]
    draw = np.random.default_rng(3)
    values = None
    for layer in layers:
        layer.build((None, 5, 5, 4))
        values = values or [draw.uniform(0.5, 2.0, variable.shape) for variable in layer.variables]
        for variable, value in zip(layer.variables, values, strict=True):
            variable.assign(value)
    return layers


@pytest.mark.parametrize("settings", [{}, {"epsilon": 1e-3}, {"scale": False}, {"center": False}])
def test_training_and_inference_equal_keras(settings, draw):
    images = tf.constant(draw.normal(1.0, 3.0, (6, 5, 5, 4)), tf.float32)
    theirs, ours = pair(**settings)
    for training in (True, False):
        np.testing.assert_allclose(
            ours(images, training=training), theirs(images, training=training), rtol=2e-5, atol=2e-5
        )
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


def test_gradients_equal_keras(draw):
    images = tf.constant(draw.normal(size=(6, 5, 5, 4)), tf.float32)
    target = tf.constant(draw.normal(size=(6, 5, 5, 4)), tf.float32)
    gradients = []
    for layer in pair():
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum((layer(images, training=True) - target) ** 2)
        gradients.append(tape.gradient(loss, [images, layer.gamma.value, layer.beta.value]))
    for theirs, ours in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_inference_leaves_the_statistics_alone(draw):
    _, ours = pair()
    before = [variable.numpy() for variable in ours.variables]
    ours(tf.constant(draw.normal(size=(6, 5, 5, 4)), tf.float32), training=False)
    for variable, value in zip(ours.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
