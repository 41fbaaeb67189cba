"""Normalisation whose gradient can be differentiated, against finite differences in double precision."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.classifier import build_classifier
from fedrobust.models.twice_differentiable import twice_differentiable
from fedrobust.training.perturbation import input_gradient


def network(norm):
    """Return a smooth network: convolution, normalisation, softplus, pooling, dense."""
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = {
        "group": lambda: keras.layers.GroupNormalization(2),
        "layer": lambda: keras.layers.LayerNormalization(axis=[1, 3]),
        "batch": lambda: FusedBatchNormalization(momentum=0.9),
        "frozen": lambda: FusedBatchNormalization(measures=False),
    }[norm]()(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("softplus")(x))
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def squared_gradient(model, weights, statistics, images):
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits, after = model.stateless_call(weights, statistics, images, training=True)
        loss = tf.reduce_sum(logits**2)
    return tf.add_n([tf.reduce_sum(each**2) for each in tape.gradient(loss, weights)]), after


@pytest.mark.parametrize("norm", ["group", "layer", "batch", "frozen"])
def test_the_gradient_of_a_gradient_is_that_of_finite_differences_and_the_outputs_are_the_networks(norm):
    keras.utils.set_random_seed(1)
    model = network(norm)
    exact = twice_differentiable(model)
    assert [each.path for each in exact.variables] == [each.path for each in model.variables]
    weights = [each.value + 0.1 for each in model.trainable_variables]
    statistics = [each.value + 0.2 for each in model.non_trainable_variables]
    draw = np.random.default_rng(0)
    images, way = draw.normal(size=(2, 3, 6, 6, 2))
    given = tf.constant(images, tf.float32)
    for training in (True, False):
        here, there = (
            each.stateless_call(weights, statistics, given, training=training) for each in (model, exact)
        )
        np.testing.assert_allclose(here[0], there[0], rtol=1e-4, atol=1e-5)
        for one, other in zip(here[1], there[1], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found, _ = squared_gradient(exact, weights, statistics, given)
    slope = float((np.asarray(tape.gradient(found, given)) * way).sum())
    step = 1e-2
    high, low = (
        float(squared_gradient(exact, weights, statistics, tf.constant(images + s * way, tf.float32))[0])
        for s in (step, -step)
    )
    assert slope == pytest.approx((high - low) / (2 * step), rel=0.02)


def test_the_statistics_that_batchnorm_measures_have_a_gradient():
    keras.utils.set_random_seed(2)
    exact = twice_differentiable(network("batch"))
    weights = [each.value for each in exact.trainable_variables]
    statistics = [each.value for each in exact.non_trainable_variables]
    given = tf.constant(np.random.default_rng(1).normal(size=(3, 6, 6, 2)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        _, after = squared_gradient(exact, weights, statistics, given)
        total = tf.reduce_sum(after[0])
    # The moving mean of each channel moves by a tenth of the mean over 3 x 36 pixels of a linear function of them.
    gradient = np.asarray(tape.gradient(total, given))[:, 2, 2]
    kernel = np.asarray(weights[0]).sum(axis=(0, 1, 3))
    np.testing.assert_allclose(gradient, np.tile(kernel * 0.1 / 108, (3, 1)), rtol=1e-4, atol=1e-7)


def penalty(classifier, weights, statistics, images, training):
    """Return what the recipe `gradient-penalty` adds to the loss: the squared norm of the input gradient."""

    def losses(given):
        logits, _ = classifier.logits(weights, statistics, given, training=training)
        return tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 1], logits)

    return tf.reduce_sum(input_gradient(losses, images) ** 2)


@pytest.mark.parametrize(
    ("name", "normalization"),
    [
        ("smooth_batch", "batch"),
        ("smooth_batch", "group"),
        ("smooth_batch", "frozen"),
        ("smooth_group", "batch"),
        ("smooth_layer", "batch"),
        ("smooth_inside", "batch"),
    ],
)
def test_networks_that_are_trained_have_the_right_derivative_of_their_input_gradient(
    monkeypatch, name, normalization
):
    """`gradient-penalty` and `grad-align` train by it; with Keras' GroupNorm and LayerNorm it is another one."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    classifier = build_classifier(
        f"own_networks:{name}", (6, 6, 2), 2, image_size=0, seed=1, normalization=normalization
    )
    draw = np.random.default_rng(3)
    trainable, statistics = classifier.arrays(classifier.initial_weights())
    trainable = [tf.constant(each + 0.3 * draw.normal(size=each.shape), tf.float32) for each in trainable]
    ways = [draw.normal(size=each.shape) for each in trainable]
    # Images far from a mean of zero: the mean's part is large.
    images = tf.constant(2 * draw.random((3, 6, 6, 2)) + 1, tf.float32)
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            found = penalty(classifier, trainable, statistics, images, training)
        gradients = tape.gradient(found, trainable, unconnected_gradients="zero")
        slope = sum(float((np.asarray(each) * way).sum()) for each, way in zip(gradients, ways, strict=True))
        step = 3e-3
        high, low = (
            float(
                penalty(
                    classifier,
                    [
                        each + tf.constant(s * way, tf.float32)
                        for each, way in zip(trainable, ways, strict=True)
                    ],
                    statistics,
                    images,
                    training,
                )
            )
            for s in (step, -step)
        )
        assert slope == pytest.approx((high - low) / (2 * step), rel=0.01)
