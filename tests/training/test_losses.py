import numpy as np
import pytest
import tensorflow as tf

from fedrobust.data.label_sets import packed
from fedrobust.spec import build
from fedrobust.training.losses import (
    LOSSES,
    BalancedSoftmax,
    BinaryCrossEntropy,
    CrossEntropy,
    Distillation,
    Focal,
    MultilabelDistillation,
)
from fedrobust.training.losses.contract import adjusted, uses_shares, without_shares
from fedrobust.training.losses.tempered_cross_entropy import TemperedCrossEntropy


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_cross_entropy_is_minus_the_log_of_the_labels_probability(draw):
    logits, labels = draw.normal(size=(6, 3)), draw.integers(0, 3, 6)
    expected = -np.log(softmax(logits)[np.arange(6), labels])
    found = CrossEntropy()(tf.constant(logits, tf.float32), tf.constant(labels, tf.int32), None)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_divergence_from_the_teacher_to_the_student(draw, temperature):
    """T^2 sum_k p_k log(p_k / q_k), with p the teacher's: the other direction is another number."""
    student, teacher = draw.normal(size=(6, 4)) * 3, draw.normal(size=(6, 4)) * 3
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1)
    reversed_ = temperature**2 * (q * np.log(q / p)).sum(-1)
    assert np.abs(expected / reversed_ - 1).max() > 0.2, "the example tells the directions apart"
    found = Distillation(temperature)(
        tf.constant(student, tf.float32), tf.constant(teacher, tf.float32), None
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_distillation_is_hintons(draw, temperature):
    """T (q - p): equation 2 of arXiv:1503.02531, times T^2."""
    student = tf.constant(draw.normal(size=(6, 4)), tf.float32)
    teacher = tf.constant(draw.normal(size=(6, 4)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = tf.reduce_sum(Distillation(temperature)(student, teacher, None))
    p, q = softmax(teacher.numpy() / temperature), softmax(student.numpy() / temperature)
    np.testing.assert_allclose(tape.gradient(loss, student), temperature * (q - p), atol=1e-5)


def test_label_smoothing_spreads_a_share_of_the_label_evenly(draw):
    logits, labels = draw.normal(size=(6, 3)), draw.integers(0, 3, 6)
    soft = 0.9 * np.eye(3)[labels] + 0.1 / 3
    expected = -(soft * np.log(softmax(logits))).sum(-1)
    found = CrossEntropy(label_smoothing=0.1)(tf.constant(logits, tf.float32), tf.constant(labels), None)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_balanced_softmax_weights_each_class_by_its_share(draw):
    """Equation 4 of arXiv:2007.10740: -log n_y exp(l_y) / sum_j n_j exp(l_j)."""
    logits, labels = draw.normal(size=(6, 3)), draw.integers(0, 3, 6)
    counts = np.array([80.0, 15.0, 5.0])
    weighted = counts * np.exp(logits)
    expected = -np.log(weighted[np.arange(6), labels] / weighted.sum(1))
    prior = tf.constant(counts / 100, tf.float32)
    found = BalancedSoftmax()(tf.constant(logits, tf.float32), tf.constant(labels), prior)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    plain = BalancedSoftmax(tau=0.0)(tf.constant(logits, tf.float32), tf.constant(labels), prior)
    np.testing.assert_allclose(plain, -np.log(softmax(logits)[np.arange(6), labels]), rtol=1e-5)


def test_balanced_softmax_does_not_push_down_a_class_that_a_client_has_not_got():
    logits = tf.constant([[0.5, -0.5, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = BalancedSoftmax()(logits, tf.constant([0]), tf.constant([0.5, 0.5, 0.0]))
    gradient = tape.gradient(loss, logits).numpy()[0]
    assert abs(gradient[2]) < 1e-5 < abs(gradient[1])


def test_smoothed_labels_of_balanced_softmax_have_the_clients_shares(draw):
    logits, labels, shares = draw.normal(size=(6, 3)), draw.integers(0, 3, 6), np.array([0.8, 0.15, 0.05])
    soft = 0.9 * np.eye(3)[labels] + 0.1 * shares
    expected = -(soft * np.log(softmax(logits + np.log(shares)))).sum(1)
    given = tf.constant(logits, tf.float32), tf.constant(labels)
    found = BalancedSoftmax(label_smoothing=0.1)(*given, tf.constant(shares, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    without = BalancedSoftmax(tau=0.0, label_smoothing=0.1)(*given, tf.constant(shares, tf.float32))
    np.testing.assert_allclose(without, CrossEntropy(label_smoothing=0.1)(*given, None), rtol=1e-5)


def test_smoothed_labels_do_not_raise_a_class_that_a_client_has_not_got():
    """Smoothed evenly over all classes the gradient was -0.1 / 3, until the logit had risen by 15."""
    logits = tf.constant([[0.5, -0.5, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = BalancedSoftmax(label_smoothing=0.1)(logits, tf.constant([0]), tf.constant([0.5, 0.5, 0.0]))
    gradient = tape.gradient(loss, logits).numpy()[0]
    assert abs(gradient[2]) < 1e-5 < abs(gradient[1])


def test_the_softmax_that_a_loss_fits_is_that_of_logits_with_the_clients_shares_if_it_knows_them(draw):
    logits, prior = tf.constant(draw.normal(size=(4, 3)), tf.float32), tf.constant([0.75, 0.25, 0.0])
    assert adjusted(CrossEntropy(), logits, prior) is logits
    known = softmax(adjusted(BalancedSoftmax(), logits, prior).numpy())
    weighted = prior.numpy() * np.exp(logits)
    np.testing.assert_allclose(known, weighted / weighted.sum(1, keepdims=True), atol=1e-6)


def test_a_temperature_divides_the_logits_and_is_no_use_of_class_shares(draw):
    logits, prior = tf.constant(draw.normal(size=(4, 3)), tf.float32), tf.constant([0.75, 0.25, 0.0])
    loss, known = TemperedCrossEntropy(temperature=20.0), BalancedSoftmax()
    labels = tf.constant([0, 1, 2, 0])
    fitted = adjusted(loss, logits, prior)
    np.testing.assert_allclose(fitted, logits / 20, rtol=1e-6)
    np.testing.assert_allclose(loss(logits, labels, prior), CrossEntropy()(fitted, labels, prior), rtol=1e-6)
    assert [uses_shares(each) for each in (loss, known, CrossEntropy())] == [False, True, False]
    np.testing.assert_array_equal(without_shares(loss, logits, prior), fitted)
    assert without_shares(known, logits, prior) is logits


def test_the_focal_loss_is_cross_entropy_that_fades_with_certainty(draw):
    logits, labels = draw.normal(size=(6, 3)), draw.integers(0, 3, 6)
    p = softmax(logits)[np.arange(6), labels]
    found = Focal(gamma=1.5)(tf.constant(logits, tf.float32), tf.constant(labels), None)
    np.testing.assert_allclose(found, -((1 - p) ** 1.5) * np.log(p), rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_the_focal_loss_of_a_certain_answer_has_finite_derivatives(gamma):
    """Its probability is rounded to 1."""
    logits, label = tf.Variable([[20.0, 0.0]]), tf.constant([0])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = Focal(gamma=gamma)(logits, label, None)
        first = inner.gradient(loss, logits)
    assert np.isfinite(first).all()
    assert np.isfinite(outer.gradient(first, logits)).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if not getattr(LOSSES[name], "multilabel", False)])
def test_a_label_and_its_one_hot_row_have_the_same_loss(name, draw):
    loss, prior = build(LOSSES, name), tf.constant([0.6, 0.3, 0.1])
    logits = tf.constant(draw.normal(size=(6, 3)), tf.float32)
    labels = tf.constant(draw.integers(0, 3, 6), tf.int32)
    np.testing.assert_allclose(
        loss(logits, labels, prior), loss(logits, tf.one_hot(labels, 3), prior), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy_is_keras_own_and_takes_label_sets(draw, smoothing):
    logits, present = draw.normal(size=(6, 4)).astype(np.float32) * 3, draw.integers(0, 2, (6, 4))
    keras_loss = tf.keras.losses.BinaryCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    loss = BinaryCrossEntropy(label_smoothing=smoothing)
    expected = keras_loss(present.astype(np.float32), logits)
    np.testing.assert_allclose(loss(logits, tf.constant(present, tf.float32), None), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(logits, tf.constant(packed(present)), None), expected, rtol=1e-5)


def test_balanced_answers_have_the_same_weight_with_and_without_a_finding(draw):
    present = np.zeros((20, 3))
    present[:2, 0], present[:15, 1] = 1, 1  # the third finding is in no image
    shares = tf.constant(present.mean(0), tf.float32)
    loss, logits = BinaryCrossEntropy(balanced=True), tf.zeros([20, 3])
    found = loss(logits, tf.constant(present, tf.float32), shares).numpy() * 3 / np.log(2)
    # A third each: 20 / 2 / 2 = 5 with the first finding, 0.556 without; 0.667 and 2 of the second; 1 of the third.
    np.testing.assert_allclose(found[0], 5 + 2 / 3 + 1, rtol=1e-5)
    np.testing.assert_allclose(found[-1], 5 / 9 + 2 + 1, rtol=1e-5)
    np.testing.assert_allclose(found.mean(), 3, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_distillation_of_findings_is_that_of_two_classes_each(draw, temperature):
    student, teacher = draw.normal(size=(2, 6, 4)).astype(np.float32) * 3
    pairs = [
        Distillation(temperature)(
            *(np.stack([0 * one[:, k], one[:, k]], 1) for one in (student, teacher)), None
        )
        for k in range(4)
    ]
    found = MultilabelDistillation(temperature)(tf.constant(student), tf.constant(teacher), None)
    np.testing.assert_allclose(found, np.mean(pairs, axis=0), rtol=1e-4, atol=1e-6)
