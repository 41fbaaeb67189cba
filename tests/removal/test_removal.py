"""Removals of backdoors: their steps by hand, and a planted trigger that they find and forget."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.layout import Entry, Layout
from fedrobust.removal import REMOVALS, FinePruning, NeuralCleanse, SuperFineTuning, Suspect
from fedrobust.removal.fine_tuning import fine_tuned
from fedrobust.spec import build

SIDE = 6
PIXELS = SIDE * SIDE


class Linear:
    """A linear model of the pixels, with the interface of a classifier."""

    classes = 2
    layout = Layout(
        (Entry("logits/kernel", (PIXELS, 2), "trainable"), Entry("logits/bias", (2,), "trainable"))
    )

    @staticmethod
    def preparation(images):
        return tf.reshape(images, (-1, PIXELS))

    def arrays(self, weights):
        return [tf.constant(one) for one in self.layout.unflatten(weights)], []

    def logits(self, trainable, statistics, prepared, training=False):
        return prepared @ trainable[0] + trainable[1], statistics


def suspect(kernel, images, labels, bias=(0.0, 0.0)):
    weights = Linear.layout.flatten([kernel.astype(np.float32), np.array(bias, np.float32)])
    return Suspect(
        Linear(),
        weights,
        images.astype(np.float32).reshape(-1, SIDE, SIDE, 1),
        labels.astype(np.int32),
        np.ones(2, np.float32),
        seed=0,
    )


BIAS = (5.4, 0.0)


@pytest.fixture
def backdoored(draw):
    """Class 1 is a bright upper half, with a sum of 9.9 in place of 0.9; the last pixel overrules it."""
    images = 0.1 * draw.random((120, PIXELS))
    labels = draw.integers(0, 2, 120)
    images[labels == 1, : PIXELS // 2] += 0.5
    kernel = np.zeros((PIXELS, 2))
    kernel[: PIXELS // 2, 1] = 1.0
    kernel[-1, 0] = 12.0
    images[:, -1] = 0.0  # clean images never have the trigger
    return suspect(kernel, images, labels, BIAS)


def attack_success(weights, model):
    """Return the share of images of class 1 that the trigger makes class 0."""
    shown = model.images[model.labels == 1].copy()
    shown[:, -1, -1] = 1.0
    return (model.logits(weights, shown).argmax(1) == 0).mean()


def test_a_step_is_that_of_descent_with_momentum_by_hand(draw):
    images, labels = draw.random((8, PIXELS)), draw.integers(0, 2, 8)
    model = suspect(0.1 * draw.standard_normal((PIXELS, 2)), images, labels)
    found = fine_tuned(model, model.weights, [0.5, 0.25])
    kernel, bias = (one.astype(np.float64) for one in Linear.layout.unflatten(model.weights))
    velocity = [np.zeros_like(kernel), np.zeros_like(bias)]
    for rate in (0.5, 0.25):
        logits = images.astype(np.float32) @ kernel + bias
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        error = (shares - np.eye(2)[labels]) / 8
        slopes = images.T @ error, error.sum(0)
        velocity = [0.9 * old + new for old, new in zip(velocity, slopes, strict=True)]
        kernel, bias = kernel - rate * velocity[0], bias - rate * velocity[1]
    for one, other in zip(Linear.layout.unflatten(found), (kernel, bias), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_clipped_steps_are_no_longer_than_allowed_and_masked_weights_stay(draw):
    model = suspect(np.zeros((PIXELS, 2)), draw.random((20, PIXELS)), draw.integers(0, 2, 20))
    moved = fine_tuned(model, model.weights, [2.0], clip=0.01).trainable - model.weights.trainable
    assert np.linalg.norm(moved) == pytest.approx(0.02, rel=1e-4)
    kept = np.zeros(Linear.layout.parameters, bool)
    kept[5:9] = True
    moved = fine_tuned(model, model.weights, [1.0, 1.0], kept=kept).trainable - model.weights.trainable
    np.testing.assert_array_equal(moved != 0, kept)


def test_rates_rise_and_fall_and_begin_anew_in_the_second_half():
    rates = SuperFineTuning(base=0.1, first=0.9, second=0.3, epochs=8, cycle=2).rates(4)
    assert len(rates) == 32
    assert rates[[0, 8, 16, 24]].tolist() == [0.1] * 4
    assert rates[[4, 12]].tolist() == [0.9] * 2
    assert rates[[20, 28]].tolist() == pytest.approx([0.3] * 2)
    assert (np.diff(rates[:5]) > 0).all()
    assert (np.diff(rates[4:9]) < 0).all()


def test_neural_cleanse_finds_the_planted_pixel_and_unlearns_it(backdoored):
    attack = NeuralCleanse(steps=120, epochs=40, learning_rate=0.05)
    triggers = [attack.trigger(backdoored, target) for target in (0, 1)]
    assert triggers[0].success > 0.95
    assert 4 * triggers[0].size < triggers[1].size
    assert np.unravel_index(triggers[0].mask.argmax(), (SIDE, SIDE, 1))[:2] == (SIDE - 1, SIDE - 1)
    removed = attack(backdoored)
    assert (removed.found["flagged"], removed.found["flagged class"]) == (1, 0)
    assert attack_success(backdoored.weights, backdoored) == 1
    assert attack_success(removed.weights, backdoored) < 0.2
    assert backdoored.accuracy(removed.weights) > 0.95


def test_neural_cleanse_leaves_a_model_without_a_small_trigger_as_it_is(backdoored):
    kernel, _bias = Linear.layout.unflatten(backdoored.weights)
    kernel = kernel.copy()
    kernel[-1] = 0
    clean = suspect(kernel, backdoored.images.reshape(-1, PIXELS), backdoored.labels, BIAS)
    removed = NeuralCleanse(steps=120)(clean)
    assert removed.found["flagged"] == 0
    assert removed.weights is clean.weights


def test_pruning_cuts_off_what_clean_images_do_not_use(backdoored, monkeypatch):
    rows = backdoored.images.reshape(-1, PIXELS)
    monkeypatch.setattr("fedrobust.removal.fine_pruning.features_of", lambda model: rows)
    removed = FinePruning(drop=0.02, epochs=1)(backdoored)
    kernel, _ = Linear.layout.unflatten(removed.weights)
    assert kernel[-1].tolist() == [0.0, 0.0], "the trigger's pixel is cut off, and stays so"
    assert attack_success(removed.weights, backdoored) == 0
    assert removed.found["features"] == PIXELS
    assert 1 <= removed.found["pruned"] <= 0.9 * PIXELS
    assert backdoored.accuracy(removed.weights) > 0.95


@pytest.fixture(scope="module")
def network():
    from fedrobust.models.classifier import build_classifier

    classifier = build_classifier("edge-cnn(width=4)", native=(28, 28, 1), classes=2, image_size=0)
    draw = np.random.default_rng(0)
    images, labels = draw.random((40, 28, 28, 1)).astype(np.float32), (np.arange(40) % 2).astype(np.int32)
    images[labels == 1, :14] *= 0.3
    return Suspect(classifier, classifier.initial_weights(), images, labels, np.ones(2, np.float32), 3)


SHORT = {"neural-cleanse": "neural-cleanse(steps=3)"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name in {"neural-cleanse", "super-fine-tuning"}
        else name
        for name in REMOVALS
    ],
)
def test_every_removal_gives_finite_weights_of_the_same_network_twice(name, network):
    images, before = network.images.copy(), network.weights.digest()
    one, other = (build(REMOVALS, SHORT.get(name, name))(network) for _ in range(2))
    assert one.weights.digest() == other.weights.digest()
    assert one.found == other.found
    assert all(isinstance(value, float) and np.isfinite(value) for value in one.found.values())
    for vector, own in zip(vars(one.weights).values(), vars(network.weights).values(), strict=True):
        assert (vector.shape, vector.dtype) == (own.shape, own.dtype)
        assert np.isfinite(vector).all()
    np.testing.assert_array_equal(network.images, images)
    assert network.weights.digest() == before


def test_features_are_the_heads_inputs(network):
    from fedrobust.removal.fine_pruning import features_of

    kernel, bias = network.classifier.layout.split(network.weights.trainable, "trainable")[-2:]
    logits = features_of(network) @ np.asarray(kernel) + np.asarray(bias)
    np.testing.assert_allclose(logits, network.logits(network.weights, network.images), atol=1e-4)
