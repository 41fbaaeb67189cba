import os
import subprocess
import sys

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


def test_a_frozen_layer_and_other_ranks_are_kerass(draw):
    """Frozen, it normalises with what it has recorded, also in training; vectors are left to Keras."""
    images = tf.constant(draw.normal(1.0, 3.0, (6, 5, 5, 4)), tf.float32)
    theirs, ours = pair()
    for layer in (theirs, ours):
        layer.trainable = False
    np.testing.assert_allclose(
        ours(images, training=True), theirs(images, training=True), rtol=2e-5, atol=2e-5
    )
    np.testing.assert_array_equal(ours.moving_mean, theirs.moving_mean)
    vectors = tf.constant(draw.normal(1.0, 3.0, (6, 4)), tf.float32)
    layers = [cls(momentum=0.75) for cls in (keras.layers.BatchNormalization, FusedBatchNormalization)]
    theirs, ours = (layer(vectors, training=True) for layer in layers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layers[1].moving_mean, layers[0].moving_mean, rtol=1e-6)


def test_a_mask_is_kerass(draw):
    """Masked images are left out of the statistics."""
    images = tf.constant(draw.normal(1.0, 3.0, (6, 5, 5, 4)), tf.float32)
    mask = tf.constant(draw.random((6, 5, 5)) < 0.5)
    theirs, ours = pair()
    np.testing.assert_allclose(
        ours(images, training=True, mask=mask), theirs(images, training=True, mask=mask), rtol=2e-5, atol=2e-5
    )
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-6)
    _, unmasked = pair()
    unmasked(images, training=True)
    assert np.abs(ours.moving_mean.numpy() - unmasked.moving_mean.numpy()).max() > 1e-3


def test_variances_are_recorded_without_bessels_correction(draw):
    """Keras 3 divides by n; over 2 x 1 x 1 values the fused kernel's n - 1 would double the variance."""
    layer = FusedBatchNormalization(momentum=0.5)
    images = draw.normal(size=(2, 1, 1, 3)).astype(np.float32)
    layer(tf.constant(images), training=True)
    np.testing.assert_allclose(layer.moving_variance, 0.5 + 0.5 * images.var((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.5 * images.mean((0, 1, 2)), rtol=1e-5)


TWO_THREADS = """
import threading
from fedrobust.runtime import start_tensorflow
start_tensorflow(workers=2)
import numpy as np
import tensorflow as tf
from fedrobust.models.batchnorm import normalized

draw = np.random.default_rng(0)
given = [
    [
        tf.constant(values, tf.float32)
        for values in (draw.normal(size=(16, 28, 28, 16)), draw.normal(size=16), draw.uniform(0.5, 2, 16))
    ]
    for _ in range(2)
]

@tf.function(autograph=False)
def summed(images, mean, variance):
    def body(step, total):
        return step + 1, total + normalized(images, tf.ones(16), tf.zeros(16), mean, variance, 1e-3, False)[0]
    return tf.while_loop(lambda step, _: step < 200, body, [0, tf.zeros_like(images)])[1]

alone = [summed(*each).numpy() for each in given]
wrong = []

def work(place):
    wrong.extend(place for _ in range(150) if not np.array_equal(summed(*given[place]), alone[place]))

threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(wrong), "wrong")
"""


@pytest.mark.slow
def test_two_threads_do_not_share_statistics():
    """With oneDNN, which TensorFlow uses by itself on newer Intel processors, TensorFlow 2.20 mixes them up."""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "0 wrong", done.stderr[-500:]
