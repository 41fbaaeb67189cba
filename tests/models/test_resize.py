"""Resizing: the same values and gradients as TensorFlow's, and right derivatives of the gradient, which it lacks."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import build_classifier
from fedrobust.models.resize import resized
from fedrobust.training.perturbation import input_gradient, penalised_gradient

SIZES = [((5, 5), (8, 8), False), ((6, 4), (9, 7), False), ((9, 9), (4, 4), True), ((9, 9), (4, 4), False)]


@pytest.mark.parametrize(("native", "size", "antialias"), SIZES)
def test_values_and_gradients_are_tensorflow_s_to_the_bit(draw, native, size, antialias):
    images = tf.constant(draw.random((2, *native, 3)), tf.float32)
    weights = tf.constant(draw.normal(size=(2, *size, 3)), tf.float32)
    found = []
    for resize in (resized, lambda x, size, antialias: tf.image.resize(x, size, antialias=antialias)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outcome = resize(images, size, antialias=antialias)
            total = tf.reduce_sum(weights * outcome)
        found.append((outcome.numpy(), tape.gradient(total, images).numpy()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize(("native", "size", "antialias"), SIZES)
def test_the_derivative_of_the_gradient_is_that_of_the_matrix(draw, native, size, antialias):
    """Of f(x) = w . (R x)^2 the gradient is 2 R' (w R x); the derivative of its square is 8 (R x)(R R'(w R x))."""
    single = np.eye(native[0] * native[1], dtype=np.float32).reshape(-1, *native, 1)
    matrix = (
        tf.image.resize(single, size, antialias=antialias)
        .numpy()
        .reshape(len(single), -1)
        .T.astype(np.float64)
    )
    image, weights = draw.random(len(single)), draw.normal(size=matrix.shape[0])
    given = tf.constant(image.reshape(1, *native, 1), tf.float32)
    variable = tf.constant(weights.reshape(1, *size, 1), tf.float32)

    @tf.function
    def derivative(variable):
        with tf.GradientTape() as tape:
            tape.watch(variable)
            slope = input_gradient(
                lambda x: tf.reduce_sum(variable * resized(x, size, antialias) ** 2, axis=[1, 2, 3]), given
            )
            norm = tf.reduce_sum(slope**2)
        return tape.gradient(norm, variable)

    shown = matrix @ image
    expected = 8 * shown * (matrix @ (matrix.T @ (weights * shown)))
    np.testing.assert_allclose(derivative(variable).numpy().ravel(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "image_size", "native"), [("mobilenetv2", 32, 28), ("edge-cnn(width=4)", 16, 20)]
)
def test_a_penalty_on_the_input_gradient_trains_a_network_whose_images_are_resized(
    draw, name, image_size, native
):
    classifier = build_classifier(name, (native, native, 1), 2, image_size=image_size, seed=1)
    trainable, statistics = (
        [tf.constant(each) for each in part] for part in classifier.arrays(classifier.initial_weights())
    )
    images, labels = tf.constant(draw.random((4, native, native, 1)), tf.float32), tf.constant([0, 1, 0, 1])

    def losses(given):
        logits, _ = classifier.logits(trainable, statistics, classifier.preparation(given))
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

    with tf.GradientTape() as tape:
        tape.watch(trainable)
        gradient = penalised_gradient(losses, images, trainable)
        # Fresh networks have tiny input gradients: a share of their size, not their size, has a slope to see.
        size = tf.reduce_sum(tf.math.log(tf.reduce_sum((1e18 * gradient) ** 2, axis=[1, 2, 3]) + 1e-30))
    slopes = tape.gradient(size, trainable)
    assert all(each is not None for each in slopes)
    assert np.linalg.norm(np.concatenate([np.ravel(each) for each in slopes])) > 0


def test_a_layer_without_a_second_derivative_is_refused_not_taken_for_zero(draw):
    kernel = tf.constant(draw.normal(size=(36, 2)), tf.float32)
    images = tf.constant(draw.random((2, 4, 4, 1)), tf.float32)

    def slopes(resize, penalised):
        def found(weights):
            def losses(given):
                logits = tf.reshape(resize(given, (6, 6)), (-1, 36)) @ weights
                return tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1], logits)

            return (
                penalised_gradient(losses, images, [weights]) if penalised else input_gradient(losses, images)
            )

        return tf.function(found, autograph=False)(kernel)

    with pytest.raises(ModelError, match=r"^training.recipe: it penalises .*nothing would be trained"):
        slopes(tf.image.resize, penalised=True)

    def ours(given, size):
        return resized(given, size, antialias=False)

    np.testing.assert_array_equal(slopes(ours, penalised=True), slopes(ours, penalised=False))
