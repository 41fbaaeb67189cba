"""The generative adversarial trainer on a linear model, whose gradients are known."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes.gan_trainer import ARRAYS, GANTrainer
from fedrobust.training.recipes.recipe import Batch
from fedrobust.training.training_data import TrainingData

EPSILON = 0.1
LABELS = np.array([0, 1, 1, 0], np.int32)


def entropy(logits, targets):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.fixture
def kernel(draw):
    return draw.normal(size=(16, 2)).astype(np.float32)


@pytest.fixture
def images(draw):
    return draw.uniform(0.3, 0.7, (4, 4, 4, 1)).astype(np.float32)


def bound(kernel, images, carried):
    def logits(seen):
        return tf.reshape(seen, (-1, 16)) @ kernel

    return Batch(
        tf.constant(images),
        tf.constant(LABELS),
        tf.ones(4),
        tf.constant([1, 2]),
        entropy,
        infer=logits,
        train=lambda seen: (logits(seen), []),
        weights=[kernel],
        at=lambda arrays: bound(arrays[0], images, carried),
        carried=carried,
    )


def gradients(recipe, kernel, images, carried):
    kernel = tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch([kernel, carried])
        loss = recipe(bound(kernel, images, carried)).loss
    return float(loss), *tape.gradient(loss, (kernel, carried), unconnected_gradients="zero")


def first_perturbed(kernel, images, epsilon):
    flat = images.reshape(4, 16)
    slopes = (softmax(flat @ kernel) - np.eye(2)[LABELS]) @ kernel.T
    slopes /= np.sqrt((slopes**2).mean(1, keepdims=True))
    return flat + epsilon * np.tanh(slopes), np.tanh(slopes)


def test_the_generator_lowers_the_probability_that_the_loss_fits(kernel, images):
    """The gradient by the generator is that of softmax(logits + log shares) at the label, not of the logits' own."""
    recipe, shares = GANTrainer(epsilon=EPSILON, penalty=0.0), np.array([0.9, 0.1], np.float32)
    carried = recipe.carry(4, (4, 4, 1), tf.constant([0, 1]))

    def slope(change):
        with tf.GradientTape() as tape:
            tape.watch(carried)
            loss = recipe(bound(kernel, images, carried)._replace(adjusted=change)).loss
        return tape.gradient(loss, carried, unconnected_gradients="zero")[3].numpy()

    perturbed, noise = first_perturbed(kernel, images, EPSILON)
    p = softmax(perturbed @ kernel + np.log(shares))[np.arange(4), LABELS]
    # d p_y / d bias, through tanh: epsilon (1 - noise^2) p_y (1 - p_y) (w_y - w_other), the mean over images.
    apart = (kernel[:, LABELS] - kernel[:, 1 - np.asarray(LABELS)]).T
    expected = (EPSILON * (1 - noise**2) * (p * (1 - p))[:, None] * apart).sum(1).mean()
    assert slope(lambda logits: logits + np.log(shares)) == pytest.approx([expected], rel=1e-3)
    assert slope(tf.identity) != pytest.approx([expected], rel=0.05)


def test_it_begins_as_a_smoothed_fgsm(kernel, images):
    recipe = GANTrainer(epsilon=EPSILON, clean=0.25)
    loss, by_kernel, _ = gradients(recipe, kernel, images, recipe.carry(4, (4, 4, 1), tf.constant([0, 1])))
    perturbed, _ = first_perturbed(kernel, images, EPSILON)
    expected, by_hand = 0.0, 0.0
    for share, seen in ((0.25, images.reshape(4, 16)), (0.75, perturbed)):
        p = softmax(seen @ kernel)
        expected += share * -np.log(p[np.arange(4), LABELS]).mean()
        by_hand += share * seen.T @ (p - np.eye(2)[LABELS]) / 4
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(by_kernel, by_hand, atol=1e-6)


def test_the_generator_follows_its_own_loss(kernel, images):
    """By the last bias: the derivative of the label's mean probability plus that of the penalty."""
    recipe = GANTrainer(epsilon=EPSILON, penalty=0.3)
    *_, by_carried = gradients(recipe, kernel, images, recipe.carry(4, (4, 4, 1), tf.constant([0, 1])))
    perturbed, noise = first_perturbed(kernel, images, EPSILON)
    p = softmax(perturbed @ kernel)
    right = p[np.arange(4), LABELS]
    toward = kernel.T[LABELS] - kernel.T[1 - LABELS]
    by_noise = EPSILON * (right * (1 - right))[:, None] * toward + 0.3 * 2 * noise / 16
    expected = (by_noise * (1 - noise**2)).sum() / 4
    assert float(by_carried[ARRAYS - 1][0]) == pytest.approx(expected, rel=1e-4)
    assert not any(np.any(slot) for slot in by_carried[ARRAYS:]), "the optimiser's slots have no gradient"


def test_the_generator_learns_to_take_more_from_the_label_and_a_penalty_holds_it_back(kernel, images):
    def learnt(penalty):
        recipe = GANTrainer(epsilon=EPSILON, penalty=penalty)
        carried = recipe.carry(4, (4, 4, 1), tf.constant([0, 1]))
        for _ in range(30):
            *_, by_carried = gradients(recipe, kernel, images, carried)
            carried = recipe.moved(carried, by_carried)
        flat = images.reshape(4, 16)
        slopes = (softmax(flat @ kernel) - np.eye(2)[LABELS]) @ kernel.T
        slopes /= np.sqrt((slopes**2).mean(1, keepdims=True))
        noise = recipe.noise(carried[:ARRAYS], tf.constant(slopes.reshape(4, 4, 4, 1), tf.float32)).numpy()
        p = softmax((flat + EPSILON * noise.reshape(4, 16)) @ kernel)
        return p[np.arange(4), LABELS].mean(), np.abs(noise).mean()

    perturbed, noise = first_perturbed(kernel, images, EPSILON)
    before = softmax(perturbed @ kernel)[np.arange(4), LABELS].mean()
    (free, large), (_, small) = learnt(0.0), learnt(5.0)
    assert free < before
    assert small < np.abs(noise).mean() < large <= 1.0


def test_it_starts_anew_in_each_local_update_and_the_seed_decides(linear_classifier, draw):
    data = TrainingData.of(
        draw.integers(60, 190, (6, 4, 4, 1)).astype(np.uint8), np.array([0, 1] * 3, np.int32)
    )
    batches = Batches(np.array([[0, 1, 2, 3], [4, 5, 0, 0]] * 3, np.int32), np.array([4, 2] * 3, np.int32))
    update = LocalUpdate(linear_classifier, GANTrainer(epsilon=EPSILON, rate=0.1), SGD())
    start = linear_classifier.initial_weights()
    first, again, other = (
        update(start, data, batches, [0.5] * 6, seed)[0].digest() for seed in ([0, 0], [0, 0], [7, 0])
    )
    assert first == again != other
