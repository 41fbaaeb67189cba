"""Distillation methods on a linear student, whose worst images in the ball are a formula."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.spec import build
from fedrobust.training.distillation import distil, teach_labels
from fedrobust.training.distillation_methods import DISTILLATION_METHODS, SoftLabels, Teacher
from fedrobust.training.distillation_methods.ard import ARD
from fedrobust.training.distillation_methods.defensive import Defensive
from fedrobust.training.distillation_methods.iad import IAD
from fedrobust.training.distillation_methods.rslad import RSLAD
from fedrobust.training.losses import Distillation
from fedrobust.training.losses.tempered_cross_entropy import TemperedCrossEntropy
from fedrobust.training.recipes import Batch

EPSILON, T = 0.05, 3.0
ENOUGH = {"epsilon": EPSILON, "steps": 12}
"""Steps that reach the corner of the ball from any start in it."""


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def divergence(teacher, student):
    """KL(softmax(teacher) || softmax(student)) of every image, written out."""
    p = np.exp(log_softmax(teacher))
    return (p * (log_softmax(teacher) - log_softmax(student))).sum(-1)


@pytest.fixture
def problem(draw):
    """Images away from 0 and 1, a student, a teacher, labels."""
    images = draw.uniform(0.3, 0.7, (8, 4, 4, 1)).astype(np.float32)
    student, teacher = (draw.normal(size=(16, 2)).astype(np.float32) * 2 for _ in range(2))
    return images, student, teacher, draw.integers(0, 2, 8).astype(np.int32)


def answers(images, kernel):
    return images.reshape(len(images), 16) @ kernel


def loss_of(method, problem):
    """Return a method's loss of the student, and the new statistics: the mean pixel of the images it was shown."""
    images, student, teacher, labels = problem

    def logits(kernel):
        return lambda seen: tf.reshape(seen, (-1, 16)) @ kernel

    batch = Batch(
        tf.constant(images),
        tf.constant(labels),
        tf.ones(8),
        tf.constant([1, 2]),
        lambda given, targets: Distillation(T)(given, targets, None),
        infer=logits(student),
        train=lambda seen: (logits(student)(seen), [tf.reduce_mean(seen)]),
    )
    known = Teacher(tf.constant(answers(images, teacher)), tf.constant(labels), logits(teacher))
    found = method(batch, known)
    np.testing.assert_allclose(found.logits, answers(images, student), rtol=1e-5)
    return float(found.loss)


def away_from_labels(problem):
    """Of two classes the loss of a linear model grows along the other class's kernel less the label's."""
    images, student, _, labels = problem
    ways = np.sign(student[:, 1 - labels] - student[:, labels]).T.reshape(images.shape)
    return images + EPSILON * ways


@pytest.mark.parametrize("name", ["ard", "iad", "rslad"])
def test_noisy_images_out_of_the_range_are_perturbed_by_epsilon_at_most(problem, name, draw):
    images, student, teacher, labels = problem
    noisy, seen = draw.uniform(-0.6, 1.6, images.shape).astype(np.float32), []

    def trained(shown):
        seen.append(shown.numpy())
        return tf.reshape(shown, (-1, 16)) @ student, []

    batch = Batch(
        tf.constant(noisy),
        tf.constant(labels),
        tf.ones(8),
        tf.constant([1, 2]),
        lambda given, targets: Distillation(T)(given, targets, None),
        infer=lambda shown: tf.reshape(shown, (-1, 16)) @ student,
        train=trained,
    )
    known = Teacher(
        tf.constant(answers(noisy, teacher)),
        tf.constant(labels),
        lambda shown: tf.reshape(shown, (-1, 16)) @ teacher,
    )
    build(DISTILLATION_METHODS, f"{name}(epsilon={EPSILON}, steps=3)")(batch, known)
    moved = seen[-1] - noisy
    assert 0.5 * EPSILON < np.abs(moved).max() <= EPSILON + 1e-6
    assert (moved[noisy < 0] >= 0).all()
    assert (moved[noisy > 1] <= 0).all()


@pytest.mark.parametrize("name", ["ard", "iad", "rslad"])
def test_a_step_size_may_be_a_fraction_as_epsilon_is(problem, name):
    steps = {"epsilon": "8/255", "steps": 3}
    numbers = build(DISTILLATION_METHODS, f"{name}(epsilon='8/255', steps=3, step_size={2 / 255!r})")
    written = build(DISTILLATION_METHODS, f"{name}(epsilon='8/255', steps=3, step_size='2/255')")
    assert loss_of(written, problem) == loss_of(numbers, problem)
    assert loss_of(written, problem) != loss_of(type(written)(**steps), problem)


@pytest.mark.parametrize("alpha", [1.0, 0.25])
def test_ard_compares_the_student_on_the_worst_image_with_the_teacher_on_the_clean_one(problem, alpha):
    images, student, teacher, labels = problem
    attacked = answers(away_from_labels(problem), student)
    softened = T**2 * divergence(answers(images, teacher) / T, attacked / T)
    labelled = -log_softmax(answers(images, student))[np.arange(8), labels]
    expected = (alpha * softened + (1 - alpha) * labelled).mean()
    assert loss_of(ARD(alpha=alpha, **ENOUGH), problem) == pytest.approx(expected, rel=1e-4)


def test_rslad_attacks_the_divergence_from_the_teacher_without_a_label(problem):
    """The gradient by the image is (S - T) of class 1 times the difference of the kernels: its sign stays."""
    images, student, teacher, _ = problem
    wanted, given = answers(images, teacher), answers(images, student)
    side = np.exp(log_softmax(given))[:, 1] - np.exp(log_softmax(wanted))[:, 1]
    assert np.abs(side).min() > 0.01, "the start's noise does not change a sign"
    ways = np.sign(side)[:, None] * np.sign(student[:, 1] - student[:, 0])
    attacked = answers(images + EPSILON * ways.reshape(images.shape), student)
    expected = (divergence(wanted, given) / 6 + 5 / 6 * divergence(wanted, attacked)).mean()
    assert loss_of(RSLAD(**ENOUGH), problem) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("steps", [2, 3, 10])
def test_rslad_with_few_steps_crosses_the_ball(problem, steps):
    few = RSLAD(epsilon=EPSILON, steps=steps)
    assert loss_of(few, problem) == pytest.approx(loss_of(RSLAD(**ENOUGH), problem), rel=1e-4)


def test_iad_adds_the_students_own_answer_where_the_teacher_is_unsure(problem):
    images, student, teacher, labels = problem
    crafted = away_from_labels(problem)
    attacked, clean = answers(crafted, student), answers(images, student)
    sure = np.exp(log_softmax(answers(crafted, teacher)))[np.arange(8), labels]
    guided = T**2 * divergence(answers(images, teacher) / T, attacked / T)
    expected = (guided + (1 - sure**0.5) * divergence(clean, attacked)).mean()
    assert loss_of(IAD(beta=0.5, **ENOUGH), problem) == pytest.approx(expected, rel=1e-4)
    assert loss_of(IAD(beta=0.0, **ENOUGH), problem) == loss_of(ARD(**ENOUGH), problem)


def test_defensive_distillation_differs_from_soft_labels_in_what_it_asks_of_the_networks(problem):
    assert loss_of(Defensive(), problem) == loss_of(SoftLabels(), problem)
    assert (Defensive.same_network, Defensive.teacher_softened) == (True, True)


def test_the_loss_of_its_teacher_divides_logits_by_the_temperature(draw):
    logits, labels = draw.normal(size=(6, 3)).astype(np.float32) * 30, draw.integers(0, 3, 6)
    expected = -log_softmax(logits / 20)[np.arange(6), labels]
    found = TemperedCrossEntropy(temperature=20.0)(tf.constant(logits), tf.constant(labels, tf.int32), None)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@dataclass(frozen=True)
class OnLabels:
    """Not a distillation: cross-entropy of the labels, from where methods find them."""

    needs_labels: ClassVar[bool] = True

    def __call__(self, batch, teacher):
        logits, statistics = batch.train(batch.images)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=teacher.labels, logits=logits)
        from fedrobust.training.recipes import StepLoss

        return StepLoss(tf.reduce_mean(losses), logits, statistics)


@dataclass(frozen=True)
class Asking:
    """Soft labels from a teacher that is evaluated in the graph."""

    asks_teacher: ClassVar[bool] = True

    def __call__(self, batch, teacher):
        return SoftLabels()(batch, teacher._replace(logits=teacher.answers(batch.images)))


def test_methods_get_the_labels_and_the_teacher_of_their_images(linear_classifier, draw):
    images = draw.integers(0, 256, (22, 4, 4, 1)).astype(np.uint8)
    kernel = draw.normal(size=(16, 2)).astype(np.float32)
    logits, labels = answers(images / np.float32(255), kernel), draw.integers(0, 2, 22)
    how = {"epochs": 3, "batch_size": 8, "seed": 4}
    labelled = distil(linear_classifier, images, logits, method=OnLabels(), labels=labels, **how)
    assert (
        labelled.weights.digest() == teach_labels(linear_classifier, images, labels, **how).weights.digest()
    )
    asked = distil(
        linear_classifier,
        images,
        np.zeros((22, 2)),
        method=Asking(),
        answers=lambda seen: tf.reshape(seen, (-1, 16)) @ kernel,
        **how,
    )
    told = distil(linear_classifier, images, logits, **how)
    np.testing.assert_allclose(asked.weights.trainable, told.weights.trainable, atol=1e-5)
    with pytest.raises(ValueError, match="ARD needs the labels"):
        distil(linear_classifier, images, logits, method=ARD(), **how)
    with pytest.raises(ValueError, match="IAD evaluates the teacher"):
        distil(linear_classifier, images, logits, method=IAD(), labels=labels, **how)


@pytest.mark.parametrize("method", [RSLAD(epsilon=0.06), ARD(epsilon=0.06), IAD(epsilon=0.06)])
def test_students_of_a_robust_teacher_are_more_robust_than_students_of_labels(
    linear_classifier, draw, method
):
    """One pixel tells the class with a wide margin, 15 others with one that is smaller than the perturbation."""
    labels = draw.integers(0, 2, 400).astype(np.int32)
    sign = 2 * labels[:, None] - 1
    images = 0.5 + np.concatenate(
        [0.2 * sign + 0.24 * draw.normal(size=(400, 1)), 0.04 * sign + 0.02 * draw.normal(size=(400, 15))], 1
    )
    stored = np.rint(255 * images.clip(0, 1)).astype(np.uint8).reshape(-1, 4, 4, 1)
    kernel = np.zeros((16, 2), np.float32)
    kernel[0] = -20, 20
    logits = answers(stored / np.float32(255) - np.float32(0.5), kernel)
    how = {"epochs": 200, "batch_size": 400, "learning_rate": 0.1}
    given = {"method": method, "labels": labels, "answers": lambda x: tf.reshape(x - 0.5, (-1, 16)) @ kernel}
    student = distil(linear_classifier, stored, logits, 1.0, **how, **given).weights
    control = teach_labels(linear_classifier, stored, labels, **how).weights

    def fragile(weights):
        """Return the weights of the fragile pixels in units of that of the robust one."""
        learnt = np.abs(linear_classifier.layout.unflatten(weights)[0]).sum(1)
        return learnt[1:].sum() / learnt[0]

    assert fragile(student) < 0.2 * fragile(control)
