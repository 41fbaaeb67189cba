"""DBFAT: weights and loss by hand, and the model that the divergence is taken from."""

from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.classifier import build_classifier
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import Batch, Plain
from fedrobust.training.recipes.dbfat import DBFAT, weights_of
from fedrobust.training.recipes.recipe import StepLoss
from fedrobust.training.training_data import TrainingData

EPSILON, STEPS = 0.1, 4
SIZE = 2.5 * EPSILON / STEPS


def batch_of(images, labels, global_logits=None, example_weights=None):
    """Return one-pixel images whose logits are (0.5 - x, x - 0.5) times ten: the boundary is at 0.5."""

    def infer(seen):
        x = tf.reshape(seen, (-1, 1))
        return 10 * tf.concat([0.5 - x, x - 0.5], 1)

    def start(seen):
        assert not np.abs(seen.numpy() - clean.numpy()).any(), "the global model sees clean images"
        return tf.constant(global_logits, tf.float32)

    clean = tf.constant(np.reshape(images, (-1, 1, 1, 1)), tf.float32)
    return Batch(
        images=clean,
        targets=tf.constant(labels),
        example_weights=tf.ones(len(images)) if example_weights is None else tf.constant(example_weights),
        seed=tf.constant([1, 2]),
        objective=lambda logits, targets: tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits),
        infer=infer,
        train=lambda seen: (infer(seen), [tf.reduce_mean(seen)]),
        start=start,
    )


IMAGES, LABELS = [0.40, 0.55, 0.53, 0.70], [1, 1, 0, 1]
"""Misclassified; crosses in the first step of 0.0625; misclassified; never crosses."""


def test_distances_are_counted_in_points_before_the_first_misclassified_one():
    attacked = DBFAT(epsilon=EPSILON, steps=STEPS).crafted(batch_of(IMAGES, LABELS))
    assert attacked.withstood.numpy().tolist() == [0, 1, 0, 4]
    # To the wall of the ball, away from the label.
    np.testing.assert_allclose(attacked.images.numpy().ravel(), [0.30, 0.45, 0.63, 0.60], atol=1e-6)


def test_weights_by_hand():
    """5 - (0, 1, 0, 4) = (5, 4, 5, 1), whose mean is 15 / 4."""
    np.testing.assert_allclose(weights_of(tf.constant([0.0, 1, 0, 4]), 4), np.array([5, 4, 5, 1]) * 4 / 15)
    assert weights_of(tf.constant([2.0, 2.0]), 4).numpy().tolist() == [1, 1]


def test_the_loss_by_hand():
    told = np.array([[0.3, -0.2], [1, 0], [0, 0], [-1, 2]], np.float32)
    shares = np.array([1, 2, 1, 0.5], np.float32)
    outcome = DBFAT(epsilon=EPSILON, steps=STEPS, beta=2.0)(batch_of(IMAGES, LABELS, told, shares))
    x = np.array([0.30, 0.45, 0.63, 0.60])
    logits = 10 * np.stack([0.5 - x, x - 0.5], 1)
    log_q = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    log_p = told - np.log(np.exp(told).sum(1, keepdims=True))
    entropy, apart = -log_q[np.arange(4), LABELS], (np.exp(log_p) * (log_p - log_q)).sum(1)
    expected = shares * (np.array([5, 4, 5, 1]) * 4 / 15 * entropy + 2 * apart)
    assert float(outcome.loss) == pytest.approx(expected.mean(), rel=1e-4)
    assert float(outcome.statistics[0]) == pytest.approx(x.mean(), abs=1e-6), "of the adversarial images"


def test_with_equal_distances_and_without_divergence_it_is_the_mean_loss_of_adversarial_images():
    batch = batch_of([0.9, 0.1, 0.8], [1, 0, 1], np.zeros((3, 2)))
    outcome = DBFAT(epsilon=EPSILON, steps=STEPS, beta=0.0)(batch)
    logits = batch.infer(tf.reshape(tf.constant([0.8, 0.2, 0.7]), (-1, 1, 1, 1)))
    assert float(outcome.loss) == pytest.approx(
        float(tf.reduce_mean(batch.objective(logits, batch.targets))), rel=1e-4
    )


@dataclass(frozen=True)
class AnswersAsReceived:
    """Plain training whose logits, which the accuracy counts, are those of the model at the start."""

    def __call__(self, batch):
        outcome = Plain()(batch)
        return StepLoss(outcome.loss, batch.start(batch.images), outcome.statistics)


def test_the_model_at_the_start_stays_the_same_in_all_steps_of_a_local_update():
    classifier = build_classifier("edge-cnn(width=4)", native=(16, 16, 1), classes=2, image_size=0, seed=3)
    draw = np.random.default_rng(0)
    images, labels = (
        draw.integers(0, 256, (32, 16, 16, 1), np.uint8),
        draw.integers(0, 2, 32).astype(np.int32),
    )
    start = classifier.initial_weights()
    batches = draw_batches(np.arange(32), epochs=6, batch_size=8, generator=draw)
    how = {"learning_rates": [0.05] * len(batches.sizes), "seed": [0, 0]}
    _, metrics = LocalUpdate(classifier, AnswersAsReceived(), SGD())(
        start, TrainingData.of(images, labels), batches, **how
    )
    _, learning = LocalUpdate(classifier, Plain(), SGD())(
        start, TrainingData.of(images, labels), batches, **how
    )
    layout = classifier.layout
    arrays = (
        layout.split(tf.constant(start.trainable), "trainable"),
        layout.split(tf.constant(start.statistics), "statistic"),
    )
    answers = classifier.logits(*arrays, classifier.preparation(tf.constant(images, tf.float32) / 255))[0]
    right = (tf.argmax(answers, -1).numpy() == labels).mean()
    assert metrics["accuracy"] == pytest.approx(right)
    assert learning["accuracy"] != pytest.approx(right)
