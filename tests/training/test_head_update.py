import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.classifier import build_classifier
from fedrobust.models.features import Features
from fedrobust.models.layout import Weights
from fedrobust.training.batches import draw_batches
from fedrobust.training.head_job import HeadJob
from fedrobust.training.head_update import CLIENTS, HeadGraph, HeadUpdate
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import CrossEntropy
from fedrobust.training.losses.balanced_softmax import BalancedSoftmax
from fedrobust.training.optimizers import SGD, Adam
from fedrobust.training.recipes import Plain
from fedrobust.training.steering import Steering
from fedrobust.training.training_data import TrainingData

N, K = 90, 3


@pytest.fixture(scope="module")
def classifier():
    return build_classifier("edge-cnn", native=(16, 16, 1), classes=K, image_size=0, layers="head")


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(1)
    labels = draw.integers(0, K, N).astype(np.int32)
    images = (draw.integers(0, 128, (N, 16, 16, 1)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    return images, labels


@pytest.fixture(scope="module")
def features(classifier, data):
    return Features(classifier, data[0])


class Blend:
    """A loss of a user's own, that looks at the whole batch."""

    def __call__(self, logits, targets, prior):
        losses = CrossEntropy()(logits + tf.math.log(prior), targets, prior)
        return losses + 0.1 * tf.reduce_mean(losses)


@pytest.mark.parametrize(
    ("loss", "optimizer", "proximal"),
    [
        (CrossEntropy(), Adam(), 0.0),
        (BalancedSoftmax(label_smoothing=0.1), SGD(nesterov=True, weight_decay=0.1), 0.0),
        (CrossEntropy(), Adam(weight_decay=0.1), 0.5),
        (Blend(), SGD(), 0.0),
    ],
)
def test_trained_on_features_as_on_images(classifier, data, features, loss, optimizer, proximal):
    """Of a client whose batches are uneven, with class weights and class shares of its own."""
    images, labels = data
    batches = draw_batches(np.arange(41), 3, 10, np.random.default_rng(0))
    rates = np.linspace(0.2, 0.05, len(batches.sizes)).astype(np.float32)
    weights, prior = np.array([0.5, 2.0, 1.0]), np.array([0.6, 0.3, 0.1])
    start, given = classifier.initial_weights(), TrainingData.of(images[:41], labels[:41])
    whole = LocalUpdate(classifier, Plain(), optimizer, loss=loss, proximal=proximal)
    head = HeadUpdate(classifier, features, HeadGraph(128, K, loss, optimizer, proximal))
    expected, metrics = whole(start, given, batches, rates, [0, 0], weights, prior)
    found, told = head(start, given, batches, rates, [0, 0], weights, prior)
    np.testing.assert_allclose(found.trainable, expected.trainable, atol=1e-5)
    assert np.abs(found.trainable - start.trainable).max() > 1e-2
    assert told == pytest.approx(dict(metrics), rel=1e-5)


def test_steered_on_features_as_on_images(classifier, data, features, draw):
    images, labels = data
    batches = draw_batches(np.arange(41), 2, 10, np.random.default_rng(0))
    rates = np.full(len(batches.sizes), 0.1, np.float32)
    start, given = classifier.initial_weights(), TrainingData.of(images[:41], labels[:41])
    d = classifier.layout.parameters
    steering = Steering(draw.normal(0, 0.1, d).astype(np.float32), 0.5, draw.random(d) < 0.5)
    whole = LocalUpdate(classifier, Plain(), SGD(), steered=True)
    head = HeadUpdate(classifier, features, HeadGraph(128, K, CrossEntropy(), SGD(), steered=True))
    expected, _ = whole(start, given, batches, rates, [0, 0], steering=steering)
    found, _ = head(start, given, batches, rates, [0, 0], steering=steering)
    np.testing.assert_allclose(found.trainable, expected.trainable, atol=1e-5)
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-5)
    np.testing.assert_array_equal(found.trainable[~steering.trained], start.trainable[~steering.trained])


def jobs_of(classifier, sizes):
    start = classifier.initial_weights()
    jobs = []
    for client, size in enumerate(sizes):
        draw = np.random.default_rng(client)
        batches = draw_batches(draw.choice(N, size, replace=False), 2, 16, draw)
        rates = np.full(len(batches.sizes), 0.01 * (1 + client % 3), np.float32)
        jobs.append(HeadJob(start, batches, rates, np.ones(K), np.full(K, 1 / K)))
    return jobs


def test_a_clients_bits_do_not_depend_on_the_others(classifier, data, features, draw):
    update = HeadUpdate(classifier, features, HeadGraph(128, K, CrossEntropy(), Adam()))
    given = tf.constant(features.of_known), tf.constant(data[1])
    jobs = jobs_of(classifier, draw.integers(1, 70, 2 * CLIENTS[-1] + 5))
    together = update.together(*given, jobs)
    order = draw.permutation(len(jobs))
    shuffled = update.together(*given, [jobs[place] for place in order])
    for place, job in enumerate(jobs):
        (alone,) = update.together(*given, [job])
        assert alone[0].digest() == together[place][0].digest()
        assert alone[1] == together[place][1]
    assert [weights.digest() for weights, _ in shuffled] == [together[place][0].digest() for place in order]


def test_numbers_beyond_all_bounds_stay_with_the_client_that_has_them(classifier, data, features):
    update = HeadUpdate(classifier, features, HeadGraph(128, K, CrossEntropy(), SGD()))
    given = tf.constant(features.of_known), tf.constant(data[1])
    calm, wild = jobs_of(classifier, [20, 20])
    huge = Weights(np.full(calm.start.trainable.size, np.inf, np.float32), calm.start.statistics)
    wild = HeadJob(huge, wild.batches, wild.learning_rates, wild.class_weights, wild.prior)
    (alone,) = update.together(*given, [calm])
    beside, broken = update.together(*given, [calm, wild])
    assert beside[0].digest() == alone[0].digest()
    assert not np.isfinite(broken[0].trainable).any()


@pytest.mark.parametrize(
    ("sizes", "batch", "width"), [([1], 32, 4), ([5, 3], 32, 8), ([32], 32, 32), ([3], 3, 3)]
)
def test_batches_are_as_wide_as_the_clients_own_need(classifier, sizes, batch, width):
    batches = draw_batches(np.arange(max(sizes)), 1, batch, np.random.default_rng(0))
    one = np.ones(K)
    assert HeadJob(classifier.initial_weights(), batches, one, one, one).width == width
