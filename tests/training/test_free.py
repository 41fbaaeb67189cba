"""Free adversarial training: Algorithm 1 written out in NumPy for a linear model."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.spec import SpecError, build
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import RECIPES
from fedrobust.training.recipes.free import Free
from fedrobust.training.steering import Steering
from fedrobust.training.training_data import TrainingData

EPSILON, REPLAYS = 0.05, 3
ROWS = [[4, 1, 3, 0], [2, 5, 6, 0]]
SIZES, RATES = [4, 3], [0.5, 0.25]


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def algorithm_1(kernel, bias, images, labels):
    """The weights after every step; the perturbation is carried over replays and batches."""
    delta = np.zeros((4, 16))
    for row, size, rate in zip(ROWS, SIZES, RATES, strict=True):
        row = row[:size]
        for _ in range(REPLAYS):
            x = np.clip(images[row].reshape(size, 16) / 255 + delta[:size], 0, 1)
            p = softmax(x @ kernel + bias)
            residual = (p - np.eye(2)[labels[row]]) / size
            slopes = residual @ kernel.T
            kernel, bias = kernel - rate * x.T @ residual, bias - rate * residual.sum(0)
            delta[:size] = np.clip(delta[:size] + EPSILON * np.sign(slopes), -EPSILON, EPSILON)
    return kernel, bias


@pytest.mark.parametrize("steered", [False, True])
def test_it_is_algorithm_1_of_the_paper(linear_classifier, draw, steered):
    images = draw.integers(60, 190, (7, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0, 1], np.int32)
    start = linear_classifier.initial_weights()
    kernel, bias = algorithm_1(*linear_classifier.layout.unflatten(start), images, labels)
    update = LocalUpdate(
        linear_classifier, Free(epsilon=EPSILON, replays=REPLAYS), SGD(momentum=0.0), steered=steered
    )
    batches = Batches(np.array(ROWS, np.int32), np.array(SIZES, np.int32))
    more = {"steering": Steering()} if steered else {}
    after, metrics = update(start, TrainingData.of(images, labels), batches, RATES, [0, 0], **more)
    expected = linear_classifier.layout.flatten([kernel, bias])
    np.testing.assert_allclose(after.trainable, expected.trainable, atol=1e-6)
    assert (metrics["steps"], metrics["examples"]) == (6, 21), "every replay counts"
    assert after.learning_rates.tolist() == [0.5] * 3 + [0.25] * 3
    if steered:
        moved = np.repeat(RATES, REPLAYS).mean() * after.gradient
        assert np.sign(moved[0]) == np.sign(start.trainable[0] - after.trainable[0])


def test_replays_see_the_same_augmented_batch(linear_classifier, draw):
    """The seed is that of the batch, so that augmentations of its replays are equal."""
    images = draw.integers(60, 190, (7, 4, 4, 1)).astype(np.uint8)
    labels = np.zeros(7, np.int32)
    batches = Batches(np.array(ROWS, np.int32), np.array(SIZES, np.int32))

    class Seeds:
        replays = 2

        def __call__(self, batch):
            outcome = Free()(batch)
            return outcome._replace(loss=tf.cast(batch.seed[1], tf.float32))

        def carry(self, size, shape, seed):
            return Free().carry(size, shape, seed)

        def moved(self, carried, gradients):
            return carried

    _, metrics = LocalUpdate(linear_classifier, Seeds(), SGD())(
        linear_classifier.initial_weights(), TrainingData.of(images, labels), batches, [0.0] * 2, [0, 10]
    )
    assert metrics["loss"] == pytest.approx((2 * 4 * 10 + 2 * 3 * 11) / 14)


def test_one_replay_is_no_free_training_and_it_has_no_attack_for_awp():
    with pytest.raises(SpecError, match="a whole number from 2"):
        build(RECIPES, "free(replays=1)")
    with pytest.raises(SpecError, match="choose an adversarial recipe"):
        build(RECIPES, "awp(recipe='free')")
