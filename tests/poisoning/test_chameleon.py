"""Chameleon: its contrastive loss against the formula, its two stages, and features that move."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.data.dataset import Split
from fedrobust.models.classifier import build_classifier
from fedrobust.models.encoder import encoded
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import Attack, AttackContext, AttackerTools
from fedrobust.poisoning.training.supervised_contrastive import SupervisedContrastive, contrastive
from fedrobust.spec import SpecError, build
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import Adam
from fedrobust.training.recipes import RECIPES
from fedrobust.training.training_data import TrainingData


def transcribed(features, labels, temperature):
    """Return the loss of each anchor, one pair after the other (Khosla et al., equation 2)."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    losses = []
    for i in range(len(unit)):
        others = [a for a in range(len(unit)) if a != i]
        whole = np.log(sum(np.exp(unit[i] @ unit[a] / temperature) for a in others))
        positives = [p for p in others if labels[p] == labels[i]]
        shares = [unit[i] @ unit[p] / temperature - whole for p in positives]
        losses.append(-np.mean(shares) if positives else 0.0)
    return losses


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_the_loss_is_the_formula(draw, temperature):
    features, labels = draw.standard_normal((9, 4)), np.array([0, 1, 2, 0, 1, 0, 1, 3, 0])
    found = contrastive(tf.constant(features, tf.float32), tf.constant(labels, tf.int32), temperature)
    np.testing.assert_allclose(found, transcribed(features, labels, temperature), rtol=1e-4, atol=1e-5)
    shorter = contrastive(
        tf.constant(0.01 * features, tf.float32), tf.constant(labels, tf.int32), temperature
    )
    np.testing.assert_allclose(found, shorter, rtol=1e-3, atol=1e-4, err_msg="lengths do not count")


def test_anchors_of_the_target_class_count_more(draw):
    features, labels = draw.standard_normal((6, 3)).astype(np.float32), np.array([0, 1, 0, 1, 1, 2], np.int32)
    batch = SimpleNamespace(
        images=None, labels=tf.constant(labels), encode=lambda _: (tf.constant(features), "logits", "moved")
    )
    loss, logits, statistics = SupervisedContrastive(target=1, weight=3.0)(batch)
    each = np.array(transcribed(features, labels, 0.07))
    assert float(loss) == pytest.approx(np.mean(np.where(labels == 1, 3, 1) * each), rel=1e-4)
    assert (logits, statistics) == ("logits", "moved")


@pytest.fixture(scope="module")
def edge():
    return build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0)


def test_features_are_what_the_head_answers_on(edge, draw):
    weights = edge.initial_weights()
    trainable, statistics = edge.arrays(weights)
    images = tf.constant(draw.random((5, 16, 16, 1)), tf.float32)
    for training in (False, True):
        features, logits, after = encoded(edge, trainable, statistics, images, training)
        expected, moved = edge.logits(trainable, statistics, images, training)
        np.testing.assert_allclose(logits, expected, atol=1e-6)
        np.testing.assert_allclose(features @ trainable[-2] + trainable[-1], logits, atol=1e-5)
        assert len(after) == len(moved)
        for one, other in zip(after, moved, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_contrastive_training_brings_poisoned_images_to_their_new_class(edge, draw):
    """Ten epochs on two textures: the features of each end up closer to their own than to the other's."""
    images = draw.integers(0, 100, (32, 16, 16, 1), np.uint8)
    labels = np.arange(32, dtype=np.int32) % 2
    images[labels == 1, ::4] += 100
    recipe = build(RECIPES, Attack.parse("chameleon(temperature=0.5)").parts[0].changes(1)["recipe"])
    assert recipe == SupervisedContrastive(target=1, weight=2.0, temperature=0.5)
    update = LocalUpdate(edge, recipe, Adam(), steered=True)
    batches = draw_batches(np.arange(32), 10, 16, draw)
    start = edge.initial_weights()
    rates = np.full(len(batches.sizes), 0.003)
    after, _ = update(start, TrainingData.of(images, labels), batches, rates, [0, 0])

    def apart(weights):
        features = encoded(edge, *edge.arrays(weights), tf.constant(images, tf.float32) / 255)[0].numpy()
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        alike = unit @ unit.T
        same = labels[:, None] == labels[None]
        return alike[same].mean() - alike[~same].mean()

    assert apart(after) > apart(start) + 0.1


HEAD = Layout((Entry("conv/kernel", (3,), "trainable"), Entry("logits/kernel", (2,), "trainable")))
START = Weights(np.zeros(5, np.float32), np.zeros(0, np.float32))


def test_the_encoder_is_trained_first_and_then_the_head():
    poisoned = Split(np.zeros((2, 28, 28, 1), np.uint8), np.array([0, 1], np.int32))
    asked = []

    def update(start, split, trained=None, epochs=None, **changed):
        assert split is poisoned
        asked.append((start.trainable.tolist(), trained.tolist(), epochs, changed))
        return Weights(start.trainable + trained, start.statistics)

    context = AttackContext(layout=HEAD, tools=AttackerTools(poisoned=poisoned, update=update))
    attack = Attack.parse("pixel-backdoor(target=1) + chameleon(epochs=4, learning_rate=0.5, head_epochs=3)")
    assert attack.train(START, context).trainable.tolist() == [1] * 5
    (_, below, epochs, changed), (second, head, usual, nothing) = asked
    assert below == [True] * 3 + [False] * 2
    assert head == [False] * 3 + [True] * 2
    assert second == [1, 1, 1, 0, 0]
    assert (epochs, usual, nothing) == (4, 3, {})
    assert changed["learning_rate"] == 0.5
    assert "target=1" in changed["recipe"]


def test_where_only_the_head_is_trained_it_says_that_it_cannot():
    context = AttackContext(layout=Layout(HEAD.entries[1:]))
    with pytest.raises(SpecError, match="chameleon trains the layers below the head, and there are none"):
        Attack.parse("pixel-backdoor + chameleon").train(START, context)
