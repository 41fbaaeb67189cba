import numpy as np
import pytest
import tensorflow as tf

from fedrobust.evasion import FGSM, BoundModel, CompiledModel, Threat, attack
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.training.losses import CrossEntropy
from fedrobust.training.perturbation import cross_entropy_direction, input_gradient, project


def plain(target, images, labels, epsilons, **settings):
    """FGSM from every image at every epsilon, as a plain implementation shows it."""
    return attack(target, images, labels, FGSM(**settings), Threat(), epsilons, nested=False)


def test_linear_models_adversary_is_the_formula(linear_classifier, draw):
    """x + epsilon sign(w_other - w_label), clipped to [0, 1]."""
    compiled, weights = CompiledModel.of(linear_classifier), linear_classifier.initial_weights()
    kernel, _ = linear_classifier.layout.unflatten(weights)
    stored = draw.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8)
    labels = draw.integers(0, 2, 20).astype(np.int32)
    done = plain(BoundModel.of(compiled, weights), compiled.images(stored), labels, [0.01, 0.2])
    x = stored.reshape(20, 16) / np.float32(255)
    direction = np.sign(kernel[:, 1 - labels] - kernel[:, labels]).T
    for epsilon, adversary in zip([0.01, 0.2], done.images, strict=True):
        expected = np.clip(x + epsilon * direction, 0, 1)
        np.testing.assert_allclose(adversary.reshape(20, 16), expected, atol=1e-6)


def test_a_model_that_is_sure_is_attacked_all_the_same(linear_classifier, draw):
    """At a logit gap in the hundreds cross-entropy has no gradient left; the attack must not notice."""
    weights = linear_classifier.initial_weights()
    compiled = CompiledModel.of(linear_classifier)
    sure = BoundModel.of(compiled, Weights(weights.trainable * 1e4, weights.statistics))
    images = compiled.images(draw.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8))
    logits = sure.logits(images)
    labels = logits.argmax(1).astype(np.int32)
    assert np.abs(logits[:, 0] - logits[:, 1]).min() > 90
    assert not sure.gradient(images, labels, "cross-entropy").gradients.any(), "this is the trap"
    stopped = plain(sure, images, labels, [0.1], loss="cross-entropy")
    np.testing.assert_array_equal(stopped.images[0], images)
    adversary = plain(sure, images, labels, [0.1]).images
    np.testing.assert_array_equal(
        adversary, plain(BoundModel.of(compiled, weights), images, labels, [0.1]).images
    )


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_direction_is_cross_entropys_gradient_up_to_a_positive_factor(draw, classes):
    logits = tf.constant(draw.normal(size=(50, classes)) * 3, tf.float32)
    labels = tf.constant(draw.integers(0, classes, 50), tf.int32)
    ours = input_gradient(lambda z: cross_entropy_direction(z, labels), logits).numpy()
    theirs = input_gradient(lambda z: CrossEntropy()(z, labels, None), logits).numpy()
    scale = np.linalg.norm(theirs, axis=1, keepdims=True) / np.linalg.norm(ours, axis=1, keepdims=True)
    np.testing.assert_allclose(ours * scale, theirs, atol=1e-5)


@pytest.mark.slow
def test_space_decides_which_pixels_move(draw):
    classifier = build_classifier("mobilenetv2", native=(28, 28, 1), classes=2)
    weights = classifier.initial_weights()
    stored = draw.integers(0, 256, (2, 28, 28, 1)).astype(np.uint8)
    shapes = {}
    for space in ("native", "prepared"):
        compiled = CompiledModel.of(classifier, space)
        images = compiled.images(stored)
        done = plain(BoundModel.of(compiled, weights), images, np.array([0, 1]), [0.01])
        shapes[space] = done.images.shape[1:]
        assert np.abs(done.images[0] - images).max() <= 0.01 + 1e-6
        assert np.abs(done.images[0] - images).mean() > 0.005
    assert shapes == {"native": (2, 28, 28, 1), "prepared": (2, 32, 32, 3)}


def test_projection_stays_in_the_box_and_in_the_pixel_range(draw):
    clean = tf.constant(draw.random((3, 4, 4, 1)), tf.float32)
    moved = project(clean + tf.constant(draw.normal(size=(3, 4, 4, 1)), tf.float32), clean, 0.05).numpy()
    assert np.abs(moved - clean).max() <= 0.05 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
