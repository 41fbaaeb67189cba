"""Clients learn from each other's mean answers to each class: averages by hand, and the loss of the paper."""

import numpy as np
import tensorflow as tf

from fedrobust.training.augmentations.mixup import Mixup
from fedrobust.training.batches import Batches
from fedrobust.training.class_logits import (
    OnSoftened,
    SoftenedUpdate,
    mean_answers,
    mean_table,
    of_others,
    softened,
)
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import CrossEntropy
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import Plain
from fedrobust.training.recipes.recipe import StepLoss
from fedrobust.training.training_data import TrainingData


def test_three_clients_by_hand():
    """Class 1 is at clients 0 and 1 only: the last one learns it from both, client 0 from client 1 alone."""
    absent = [np.nan, np.nan]
    tables = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], absent]])
    np.testing.assert_allclose(of_others(tables, 0), [[0.6, 0.4], [0.2, 0.8]])
    np.testing.assert_allclose(of_others(tables, 1), [[0.7, 0.3], [0.4, 0.6]])
    np.testing.assert_allclose(of_others(tables, 2), [[0.8, 0.2], [0.3, 0.7]])
    np.testing.assert_allclose(mean_table(tables), [[0.7, 0.3], [0.3, 0.7]])


def test_a_client_learns_what_it_is_alone_with_from_labels():
    tables = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.7, 0.3], [np.nan, np.nan]]])
    found = softened(np.array([0, 1]), of_others(tables, 0), gamma=1.0)
    np.testing.assert_allclose(found, [[0.85, 0.15], [0.0, 1.0]], rtol=1e-6)


def test_the_cross_entropy_of_the_mixture_is_that_of_label_and_others_over_one_plus_gamma(draw):
    logits = draw.normal(size=(20, 3)).astype(np.float32)
    labels, gamma = draw.integers(0, 3, 20), 0.7
    table = draw.dirichlet(np.ones(3), size=3)
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    paper = -log_p[np.arange(20), labels] - gamma * (table[labels] * log_p).sum(axis=1)
    found = CrossEntropy()(tf.constant(logits), tf.constant(softened(labels, table, gamma)), tf.ones(3) / 3)
    np.testing.assert_allclose((1 + gamma) * np.asarray(found), paper, rtol=1e-4)


def test_mean_answers_are_of_each_class_images_alone(draw):
    logits, labels = draw.normal(size=(12, 3)), np.repeat([0, 2], 6)
    odds = np.exp(logits)
    shares = odds / odds.sum(axis=1, keepdims=True)
    found = mean_answers(logits, labels)
    np.testing.assert_allclose(found[[0, 2]], [shares[:6].mean(0), shares[6:].mean(0)])
    assert np.isnan(found[1]).all()


def test_class_weights_and_accuracy_are_those_of_the_label_where_another_class_has_the_larger_target(
    linear_classifier, draw
):
    """With a gamma of 5 the target of an image of class 0 is (1 + 0.5, 4.5) / 6."""
    images, labels = draw.integers(0, 256, (6, 4, 4, 1), np.uint8), np.array([0, 0, 0, 1, 1, 1], np.int32)
    start, table, factors = (
        linear_classifier.initial_weights(),
        np.array([[0.1, 0.9], [0.2, 0.8]]),
        [3.0, 1.0],
    )
    update = LocalUpdate(
        linear_classifier,
        Plain(),
        SGD(),
        OnSoftened(CrossEntropy()),
        targets=tf.TensorSpec([None, 4], tf.float32),
    )
    rows = Batches(np.arange(6, dtype=np.int32)[None], np.array([6], np.int32))
    _, metrics = SoftenedUpdate(update, table, gamma=5.0)(
        start, TrainingData.of(images, labels), rows, learning_rates=[0.0], seed=[0, 0], class_weights=factors
    )
    kernel, bias = start.trainable[:-2].reshape(16, 2), start.trainable[-2:]
    logits = (
        linear_classifier.preparation(tf.constant(images / 255, tf.float32)).numpy().reshape(6, 16) @ kernel
        + bias
    )
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    targets = (np.eye(2) + 5 * table)[labels] / 6
    expected = np.take(factors, labels) * -(targets * log_p).sum(1)
    np.testing.assert_allclose(metrics["loss"], expected.mean(), rtol=1e-4)
    assert metrics["accuracy"] == (logits.argmax(1) == labels).mean()


def largest_label(batch):
    """A recipe whose loss is the largest label of the batch."""
    logits, statistics = batch.train(batch.images)
    return StepLoss(tf.cast(tf.reduce_max(batch.labels), tf.float32), logits, statistics)


def test_recipes_of_mixed_images_see_labels_that_exist(linear_classifier, draw):
    """The others answer class 0 to both classes: of mixtures its softened target is larger than that of any label."""
    spec = tf.TensorSpec([None, 4], tf.float32)
    update = LocalUpdate(
        linear_classifier,
        largest_label,
        SGD(),
        OnSoftened(CrossEntropy()),
        "native",
        spec,
        augmentations=(Mixup(alpha=5.0),),
    )
    learning = SoftenedUpdate(update, np.array([[1.0, 0.0], [1.0, 0.0]]), gamma=3.0)
    data = TrainingData.of(draw.integers(0, 256, (8, 4, 4, 1)), np.array([0, 1] * 4, np.int32))
    batches = Batches(np.arange(8, dtype=np.int32)[None], np.array([8], np.int32))
    _, metrics = learning(
        linear_classifier.initial_weights(), data, batches, learning_rates=[0.0], seed=[0, 0]
    )
    assert metrics["loss"] == 1.0
