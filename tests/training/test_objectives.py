import numpy as np
import pytest
import tensorflow as tf

from fedrobust.training.objectives import cross_entropy, distillation


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_cross_entropy_is_minus_the_log_of_the_labels_probability(draw):
    logits, labels = draw.normal(size=(6, 3)), draw.integers(0, 3, 6)
    expected = -np.log(softmax(logits)[np.arange(6), labels])
    found = cross_entropy(tf.constant(logits, tf.float32), tf.constant(labels, tf.int32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_divergence_from_the_teacher_to_the_student(draw, temperature):
    """T^2 sum_k p_k log(p_k / q_k), with p the teacher's: the other direction is another number."""
    student, teacher = draw.normal(size=(6, 4)) * 3, draw.normal(size=(6, 4)) * 3
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1)
    reversed_ = temperature**2 * (q * np.log(q / p)).sum(-1)
    assert np.abs(expected / reversed_ - 1).max() > 0.2, "the example tells the directions apart"
    found = distillation(temperature)(tf.constant(student, tf.float32), tf.constant(teacher, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_distillation_is_hintons(draw, temperature):
    """T (q - p): equation 2 of arXiv:1503.02531, times T^2."""
    student = tf.constant(draw.normal(size=(6, 4)), tf.float32)
    teacher = tf.constant(draw.normal(size=(6, 4)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = tf.reduce_sum(distillation(temperature)(student, teacher))
    p, q = softmax(teacher.numpy() / temperature), softmax(student.numpy() / temperature)
    np.testing.assert_allclose(tape.gradient(loss, student), temperature * (q - p), atol=1e-5)
