"""Attacks that make their own local updates, with a linear model whose training is a formula."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from clients.attacker import Attacker
from clients.client import Client
from fedrobust.algorithms import Scaffold
from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import recalibration_of
from fedrobust.poisoning import Attack, AttackMemory
from fedrobust.study import Study
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import Plain

SETTINGS = {
    "federation__clients": 5,
    "poisoning__malicious": [1],
    "training__batch_size": 4,
    "training__epochs": 2,
    "training__learning_rate": 0.5,
    "training__schedule": "constant",
}


@pytest.fixture
def shard(draw):
    return Split(draw.integers(0, 256, (12, 4, 4, 1), np.uint8), np.repeat([0, 1], 6).astype(np.int32))


def client(classifier, shard, attack, algorithm=None, steered=True, **settings) -> Client:
    """Return the malicious client of a study of `attack` (text, or an object)."""
    name = attack if isinstance(attack, str) else "sign-flip"
    experiment = Experiment.of(poisoning__attack=name, **SETTINGS, **settings)
    study = Study(experiment, Problem((4, 4, 1), 2))
    if not isinstance(attack, str):
        study.__dict__["attack"] = attack
    update = LocalUpdate(classifier, Plain(), SGD(momentum=0.0), steered=steered)
    training = LocalTraining(experiment.training, experiment.data, 5, study.problem, 0, lambda _: update)
    attacker = Attacker(study.attack, study.schedule, lambda: study.attack_context(1), classifier, training)
    more = {} if algorithm is None else {"algorithm": algorithm}
    return Client(1, shard, training, classifier.layout, attacker=attacker, **more)


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def stepped(one, shard, start, mask, round):
    """Return the weights after the round's steps of SGD on `shard`, projected onto `mask`."""
    w = start.trainable.astype(np.float64)
    plan = one.training.plan(shard.labels, round, 1, one.training.training)
    x = shard.images.reshape(len(shard), 16) / 255.0
    for rate, row, size in zip(plan.learning_rates, plan.batches.rows, plan.batches.sizes, strict=True):
        rows = row[:size]
        kernel, bias = w[:32].reshape(16, 2), w[32:]
        residual = (softmax(x[rows] @ kernel + bias) - np.eye(2)[shard.labels[rows]]) / size
        w = w - mask * rate * np.concatenate([(x[rows].T @ residual).ravel(), residual.sum(0)])
    return w


def test_neurotoxin_projects_every_step(linear_classifier, shard, draw):
    one = client(linear_classifier, shard, "label-flip + neurotoxin(top=0.4)")
    start = linear_classifier.initial_weights()
    change = draw.standard_normal(34).astype(np.float32)
    memory = AttackMemory(1, start.trainable - change)
    sent, metrics = one.train(start, 2, {}, memory=memory.arrays())
    mask = np.abs(change) < np.sort(np.abs(change))[-14]
    assert mask.sum() == 20
    flipped = Split(shard.images, 1 - shard.labels)
    np.testing.assert_allclose(sent.weights.trainable, stepped(one, flipped, start, mask, 2), atol=1e-5)
    np.testing.assert_array_equal(sent.weights.trainable[~mask], start.trainable[~mask])
    assert metrics["examples"] == 24
    assert metrics["num-examples"] == 12
    assert AttackMemory.of(sent.memory).weights.tolist() == start.trainable.tolist()


def test_in_its_first_round_neurotoxin_trains_as_its_poison_alone(linear_classifier, shard):
    start = linear_classifier.initial_weights()
    one, other = (
        client(linear_classifier, shard, attack).train(start, 1, {})[0]
        for attack in ("label-flip + neurotoxin", "label-flip")
    )
    assert one.weights.digest() == other.weights.digest()


def test_the_algorithms_correction_applies_to_the_attacks_updates(linear_classifier, shard, draw):
    """SCAFFOLD's correction reaches the local update, whose mask is Neurotoxin's."""
    start, change = linear_classifier.initial_weights(), draw.standard_normal(34).astype(np.float32)
    correction = draw.standard_normal(34).astype(np.float32)
    memory = AttackMemory(1, start.trainable - change).arrays()
    sent = []
    for broadcast in ({}, {"control": correction}):
        one = client(linear_classifier, shard, "label-flip + neurotoxin(top=0.5)", Scaffold())
        made, _ = one.train(start, 2, {}, broadcast, memory)
        sent.append(made.weights.trainable)
        assert made.state
    mask = np.abs(change) < np.sort(np.abs(change))[-17]
    for trainable in sent:
        np.testing.assert_array_equal(trainable[~mask], start.trainable[~mask])
    assert np.abs(sent[0] - sent[1])[mask].min() > 0


class Twice:
    """Train on clean, then on poisoned images, with settings of its own."""

    def data(self, images, labels, context):
        """Return flipped labels."""
        return images, 1 - labels

    def train(self, start, context):
        """Return the weights after both."""
        tools = context.tools
        benign = tools.update(start, tools.clean, epochs=1)
        assert tools.success(benign) != tools.success(benign), "without a criterion there is no success"
        assert tools.logits(benign, tools.clean.images).shape == (12, 2)
        return tools.update(benign, tools.poisoned, learning_rate=0.1)


def test_an_attack_may_train_more_than_once_on_any_images(linear_classifier, shard):
    one = client(linear_classifier, shard, Attack((Twice(),)), steered=False)
    one = replace(one, attacker=replace(one.attacker, training=None))
    start = linear_classifier.initial_weights()
    sent, metrics = one.train(start, 1, {})
    whole = replace(one, attacker=None, training=replace_settings(one.training, epochs=1))
    benign = whole.train(start, 1, {})[0].weights
    flipped = Split(shard.images, 1 - shard.labels)
    second = replace(
        one, attacker=None, shard=flipped, training=replace_settings(one.training, learning_rate=0.1)
    )
    expected = second.train(benign, 1, {})[0].weights
    np.testing.assert_allclose(sent.weights.trainable, expected.trainable, atol=1e-6)
    assert metrics["examples"] == 36


def replace_settings(training, **changed):
    return replace(training, training=training.training.model_copy(update=changed))


def test_success_is_that_of_the_attacks_criterion_on_the_clients_own_images(linear_classifier, shard):
    """A model that says class 0 to everything succeeds on the images of class 1, and the other one does not."""
    seen = []

    class Watches:
        targeted = True

        def data(self, images, labels, context):
            return images, labels

        def criterion(self, split, context):
            return SimpleNamespace(images=split.images[6:], target_labels=np.zeros(6, np.int64))

        def train(self, start, context):
            for bias in (5.0, -5.0):
                weights = np.concatenate([np.zeros(32), [bias, 0.0]]).astype(np.float32)
                seen.append(context.tools.success(Weights(weights, start.statistics)))
            return start

    one = client(linear_classifier, shard, Attack((Watches(),)))
    one.train(linear_classifier.initial_weights(), 1, {})
    assert seen == [1.0, 0.0]


def test_success_is_that_of_statistics_that_fit_the_weights(shard):
    """Moving statistics are far off; measured on the client's own images, they give the success of the weights."""
    classifier = build_classifier("edge-cnn", native=(4, 4, 1), classes=2, image_size=28)
    seen = []

    class Watches:
        targeted = True

        def data(self, images, labels, context):
            return images, labels

        def criterion(self, split, context):
            return SimpleNamespace(images=split.images, target_labels=np.zeros(12, np.int64))

        def train(self, start, context):
            off = Weights(start.trainable, start.statistics + np.float32(50))
            fitting = recalibration_of(classifier)(off, context.tools.clean.images)
            seen.append((context.tools.measured(off), fitting))
            logits = context.tools.logits(fitting, context.tools.clean.images)
            seen.append((context.tools.success(off), (logits.argmax(1) == 0).mean()))
            return start

    one = client(classifier, shard, Attack((Watches(),)))
    one.train(classifier.initial_weights(), 1, {})
    (own, expected), (success, share) = seen
    np.testing.assert_array_equal(own.statistics, expected.statistics)
    assert success == share
