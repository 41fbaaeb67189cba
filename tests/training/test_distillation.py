"""Lessons of a linear student, against the same lessons in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from fedrobust.randomness import Purpose, generator
from fedrobust.training.batches import draw_batches
from fedrobust.training.distillation import distil, teach_labels
from fedrobust.training.losses import BalancedSoftmax, BinaryCrossEntropy


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def taught(student, images, residual, epochs, batch_size, learning_rate, seed):
    """Adam on `residual(logits, rows)`, the gradient by the logits, with a rate that falls to 0 along a cosine."""
    kernel, bias = student.layout.unflatten(student.initial_weights())
    weights = np.concatenate([kernel, bias[None]]).astype(np.float64)
    x = np.concatenate([images.reshape(len(images), -1) / 255.0, np.ones((len(images), 1))], 1)
    batches = draw_batches(np.arange(len(images)), epochs, batch_size, generator(seed, Purpose.DISTILLATION))
    mean, square, steps = np.zeros_like(weights), np.zeros_like(weights), len(batches.sizes)
    for step, (row, size) in enumerate(zip(batches.rows, batches.sizes, strict=True)):
        rows = row[:size]
        gradient = x[rows].T @ residual(x[rows] @ weights, rows) / size
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        rate = learning_rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        corrected = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        weights = weights - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
    return student.layout.flatten([weights[:-1], weights[-1]]).trainable


@pytest.fixture
def lesson(draw):
    images = draw.integers(0, 256, (22, 4, 4, 1)).astype(np.uint8)
    return images, draw.normal(size=(22, 2)).astype(np.float32) * 5


def test_a_student_moves_towards_its_teachers_softened_answers(linear_classifier, lesson):
    images, teacher = lesson
    done = distil(linear_classifier, images, teacher, 3.0, epochs=4, batch_size=8, learning_rate=0.01, seed=2)
    residual = lambda logits, rows: 3.0 * (softmax(logits / 3.0) - softmax(teacher[rows] / 3.0))  # noqa: E731
    expected = taught(linear_classifier, images, residual, 4, 8, 0.01, 2)
    np.testing.assert_allclose(done.weights.trainable, expected, atol=2e-5)
    assert done.epochs == 4
    assert done.metrics["steps"] == 12
    assert done.metrics["examples"] == 88


@pytest.mark.parametrize("balanced", [False, True])
def test_its_twin_moves_towards_the_labels_in_the_same_order(linear_classifier, lesson, balanced):
    images, teacher = lesson
    labels = np.minimum(teacher.argmax(1), np.arange(22) % 3)  # the second class is rarer
    weights = 22 / (2 * np.bincount(labels)[labels]) if balanced else np.ones(22)
    done = teach_labels(linear_classifier, images, labels, 4, 8, 0.01, 2, balanced=balanced)
    residual = lambda z, rows: weights[rows, None] * (softmax(z) - np.eye(2)[labels[rows]])  # noqa: E731
    expected = taught(linear_classifier, images, residual, 4, 8, 0.01, 2)
    np.testing.assert_allclose(done.weights.trainable, expected, atol=2e-5)
    assert done.metrics["steps"] == 12


def test_its_twin_weighs_classes_by_their_shares_as_a_teacher_with_such_a_loss_does(
    linear_classifier, lesson
):
    images, teacher = lesson
    labels = np.minimum(teacher.argmax(1), np.arange(22) % 3)
    shares = np.bincount(labels) / 22
    done = teach_labels(linear_classifier, images, labels, 4, 8, 0.01, 2, loss=BalancedSoftmax())
    residual = lambda z, rows: softmax(z + np.log(shares)) - np.eye(2)[labels[rows]]  # noqa: E731
    expected = taught(linear_classifier, images, residual, 4, 8, 0.01, 2)
    np.testing.assert_allclose(done.weights.trainable, expected, atol=2e-5)


def test_its_twin_weighs_images_with_and_without_a_finding_alike(linear_classifier, lesson):
    images, teacher = lesson
    present = (teacher > [2.0, -2.0]).astype(np.float32)
    student = replace(linear_classifier, multilabel=True)
    loss, sets = BinaryCrossEntropy(balanced=True), present.astype(np.int32) @ [1, 2]
    done = teach_labels(student, images, sets, 4, 8, 0.01, 2, loss=loss)
    shares = present.mean(axis=0)
    weights = 0.5 * np.where(present > 0, 1 / shares, 1 / (1 - shares)) / 2  # the mean over two findings
    residual = lambda z, rows: weights[rows] * (1 / (1 + np.exp(-z)) - present[rows])  # noqa: E731
    expected = taught(student, images, residual, 4, 8, 0.01, 2)
    np.testing.assert_allclose(done.weights.trainable, expected, atol=2e-5)


def test_what_is_not_said_is_temperature_4_and_a_rate_of_2_in_1000(linear_classifier, lesson):
    images, teacher = lesson
    done = distil(linear_classifier, images, teacher, epochs=2)
    said = distil(
        linear_classifier,
        images,
        teacher,
        temperature=4.0,
        epochs=2,
        batch_size=32,
        learning_rate=0.002,
        seed=0,
    )
    assert done.weights.digest() == said.weights.digest()
    assert done.metrics["steps"] == 2
    labels = teacher.argmax(1)
    done = teach_labels(linear_classifier, images, labels, epochs=2)
    said = teach_labels(
        linear_classifier, images, labels, epochs=2, batch_size=32, learning_rate=0.002, seed=0
    )
    assert done.weights.digest() == said.weights.digest()
    assert done.metrics["steps"] == 2


@pytest.mark.parametrize(("images", "batch_size", "epochs"), [(22, 1, 45), (22, 32, 200), (400, 1, 5)])
def test_about_a_thousand_steps_between_5_and_200_passes(linear_classifier, images, batch_size, epochs):
    pictures = np.zeros((images, 4, 4, 1), np.uint8)
    done = teach_labels(linear_classifier, pictures, np.zeros(images, np.int32), batch_size=batch_size)
    assert done.epochs == epochs
    assert done.metrics["steps"] == epochs * -(-images // batch_size)


def test_its_twin_learns_mixed_labels_of_mixed_images(linear_classifier, lesson):
    images, teacher = lesson
    right = softmax(teacher).astype(np.float32)
    done = teach_labels(linear_classifier, images, right, 4, 8, 0.01, 2)
    residual = lambda z, rows: softmax(z) - right[rows]  # noqa: E731
    np.testing.assert_allclose(
        done.weights.trainable, taught(linear_classifier, images, residual, 4, 8, 0.01, 2), atol=2e-5
    )
