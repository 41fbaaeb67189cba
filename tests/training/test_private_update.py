"""DP-SGD: gradients of single images beside a loop, noise by its deviation, batches by their law, parts of any size."""

from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.classifier import build_classifier
from fedrobust.models.features import Features
from fedrobust.models.layout import Weights
from fedrobust.privacy import DPSGD, epsilon_by_pld
from fedrobust.training.batches import Batches, poisson_batches
from fedrobust.training.buckets import Buckets
from fedrobust.training.clipped_sums import HeadSums, NetworkSums
from fedrobust.training.losses import BinaryCrossEntropy, CrossEntropy
from fedrobust.training.optimizers import SGD
from fedrobust.training.private_update import PrivateUpdate
from fedrobust.training.training_data import TrainingData

SHAPE, CLASSES = (16, 16, 1), 3
draw = np.random.default_rng(0)
IMAGES = draw.integers(0, 256, (9, *SHAPE), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2], np.int32)


@cache
def network(multilabel=False, layers="all"):
    return build_classifier(
        "edge-cnn(width=8)",
        SHAPE,
        CLASSES,
        image_size=0,
        normalization="group",
        layers=layers,
        multilabel=multilabel,
    )


@cache
def head_features():
    return Features(network(layers="head"))


def loss(multilabel):
    return BinaryCrossEntropy() if multilabel else CrossEntropy()


@cache
def update_of(kind, clip, batch=4, multilabel=False):
    classifier = network(multilabel, "head" if kind == "head" else "all")
    if kind == "head":
        sums = HeadSums(classifier, loss(multilabel), clip, batch)
        return PrivateUpdate(classifier, sums, SGD(momentum=0.0), features=Features(classifier))
    return PrivateUpdate(
        classifier, NetworkSums(classifier, loss(multilabel), (), clip, batch), SGD(momentum=0.0)
    )


def one_by_one(classifier, start, rows, clip, multilabel=False):
    """Return the sum of clipped gradients, from a loop over images with a tape each."""
    total = np.zeros(classifier.layout.parameters)
    norms = []
    for row in rows:
        arrays = [tf.constant(each) for each in classifier.layout.split(start.trainable, "trainable")]
        image = tf.cast(IMAGES[row : row + 1], tf.float32) / 255
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            logits, _ = classifier.logits(arrays, [], classifier.preparation(image), training=True)
            targets = tf.constant(LABELS[row : row + 1])
            value = loss(multilabel)(logits, targets, tf.fill([CLASSES], 1 / CLASSES))[0]
        found = tape.gradient(value, arrays)
        flat = np.concatenate([np.ravel(each) for each in found]).astype(np.float64)
        norms.append(np.linalg.norm(flat))
        total += flat * min(1, clip / norms[-1])
    return total, norms


@pytest.mark.parametrize("kind", ["network", "head"])
@pytest.mark.parametrize(
    "multilabel", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["classes", "findings"]
)
@pytest.mark.parametrize("share", [pytest.param(100.0, marks=pytest.mark.slow), 0.5])
def test_the_clipped_gradients_of_single_images_are_those_of_a_loop(kind, multilabel, share):
    classifier = network(multilabel, "head" if kind == "head" else "all")
    start, rows = classifier.initial_weights(), np.array([0, 1, 2, 3, 5, 7, 8])
    clip = share * np.median(one_by_one(classifier, start, rows, 1.0, multilabel)[1])
    wanted, norms = one_by_one(classifier, start, rows, clip, multilabel)
    assert share > 1 or sum(norm > clip for norm in norms) > 0
    # Seven images in parts of four: two parts, one of them padded.
    update = update_of(kind, clip, batch=4, multilabel=multilabel)
    batches = Batches(rows[None].astype(np.int32), np.array([7], np.int32))
    data = TrainingData.of(IMAGES, LABELS)
    after, metrics = update(start, data, batches, [1.0], seed=[0, 0], noise=0.0, expected=1.0)
    found = start.trainable.astype(np.float64) - after.trainable
    np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
    assert set(metrics) == {"steps"}, "no metric of the images leaves the client"


@pytest.mark.parametrize("kind", [pytest.param("network", marks=pytest.mark.slow), "head"])
def test_the_noise_has_its_deviation_and_is_drawn_anew_in_each_step(kind):
    update = update_of(kind, clip=2.0)
    start = update.classifier.initial_weights()
    empty = Batches(np.zeros((2, 1), np.int32), np.zeros(2, np.int32))
    data = TrainingData.of(IMAGES, LABELS)
    steps = []
    for rates in ([1.0, 0.0], [0.0, 1.0]):
        after, _ = update(start, data, empty, rates, seed=[3, 4], noise=1.5, expected=4.0)
        steps.append(start.trainable - after.trainable)
    for step in steps:  # an empty batch has its noise, and nothing else: z C / B
        assert step.std() == pytest.approx(1.5 * 2.0 / 4.0, rel=0.1 if kind == "head" else 0.03)
    assert abs(np.corrcoef(*steps)[0, 1]) < 0.25
    again, _ = update(start, data, empty, [1.0, 0.0], seed=[3, 4], noise=1.5, expected=4.0)
    np.testing.assert_array_equal(start.trainable - again.trainable, steps[0])


@pytest.mark.slow
def test_one_image_more_moves_the_sum_by_at_most_the_clip():
    """The sensitivity, on an image whose gradient is large."""
    update = update_of("network", clip=0.1)
    start, data = update.classifier.initial_weights(), TrainingData.of(IMAGES, LABELS)
    moved = []
    for size in (4, 5):
        batches = Batches(np.arange(5, dtype=np.int32)[None], np.array([size], np.int32))
        moved.append(update(start, data, batches, [1.0], seed=[0, 0], noise=0.0, expected=1.0)[0].trainable)
    assert np.linalg.norm(moved[1] - moved[0]) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_does_not_reach_the_sum():
    classifier = network()
    broken = NetworkSums(classifier, CrossEntropy(), (), 1.0, 4)
    buckets = Buckets(classifier.layout.of("trainable"))
    start = classifier.initial_weights()
    weights = buckets.split(
        tf.constant(np.where(np.arange(start.trainable.size) == 0, np.nan, start.trainable))
    )
    found = broken(
        buckets,
        weights,
        tf.constant(IMAGES[:4]),
        tf.constant(LABELS[:4]),
        tf.fill([4], True),
        tf.zeros(2, tf.int32),
    )
    assert all(np.isfinite(each).all() and not np.any(each) for each in found)


def test_poisson_batches_have_the_law_of_the_accounting():
    batches = poisson_batches(50, 4000, 0.2, np.random.default_rng(0))
    assert batches.sizes.mean() == pytest.approx(10, rel=0.02)
    assert batches.sizes.var() == pytest.approx(50 * 0.2 * 0.8, rel=0.1)
    taken = np.bincount(np.concatenate([row[:n] for row, n in zip(batches.rows, batches.sizes, strict=True)]))
    assert np.abs(taken / 4000 - 0.2).max() < 0.03, "every image alike"
    assert all(len(set(row[:n])) == n for row, n in zip(batches.rows, batches.sizes, strict=True))


@pytest.mark.slow
def test_a_clients_noise_ends_at_the_epsilon_of_its_own_size():
    training = DPSGD(epsilon=8.0, delta=1e-3, batch_size=32, rounds=4)
    noises = [training.noise(images) for images in (32, 320)]
    assert noises[0] > 1.2 * noises[1], "a small client's images are in more of its batches"
    for images, noise in zip((32, 320), noises, strict=True):
        assert 7.95 < epsilon_by_pld(training.releases(images, noise), 1e-3) <= 8.0
    assert training.promise(320).averaged == 32


@pytest.mark.slow
def test_training_learns_under_noise():
    """Two classes of bright and dark images; the noise is that of epsilon 3 or so."""
    images = np.where(np.arange(64)[:, None, None, None] % 2, 200, 50) + draw.integers(0, 40, (64, *SHAPE))
    data = TrainingData.of(images.astype(np.uint8), (np.arange(64) % 2).astype(np.int32))
    update = update_of("network", clip=1.0, batch=32)
    batches = poisson_batches(64, 30, 0.5, np.random.default_rng(1))
    start = update.classifier.initial_weights()
    after, _ = update(start, data, batches, np.full(30, 0.5), seed=[1, 2], noise=1.0, expected=32.0)
    prepared = update.classifier.preparation(tf.cast(data.images, tf.float32) / 255)

    def right(weights: Weights) -> float:
        arrays = update.classifier.layout.split(weights.trainable, "trainable")
        logits, _ = update.classifier.logits([tf.constant(each) for each in arrays], [], prepared)
        return float((logits.numpy().argmax(1) == data.targets.numpy()).mean())

    assert right(start) < 0.7
    assert right(after) > 0.95
