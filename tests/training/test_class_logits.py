"""Clients learn from each other's mean answers to each class: averages by hand, and the loss of the paper."""

import numpy as np
import tensorflow as tf

from fedrobust.training.class_logits import mean_answers, mean_table, of_others, softened
from fedrobust.training.losses import CrossEntropy


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
