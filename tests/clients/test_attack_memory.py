"""What a malicious client keeps from round to round, and that it reaches the attack."""

from types import SimpleNamespace

import numpy as np
import pytest

from clients.attacker import Attacker
from clients.client import Client
from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import AttackMemory
from fedrobust.study import Study
from fedrobust.study.local_training import LocalTraining

LAYOUT = Layout((Entry("dense/kernel", (4, 10), "trainable"),))
SHARD = Split(np.zeros((6, 8, 8, 1), np.uint8), np.array([0, 0, 0, 1, 1, 1], np.int32))
LEARNT = np.float32(0.5)
RAMP = np.linspace(0.1, 1, 40, dtype=np.float32)
LENGTH = float(np.linalg.norm(RAMP))


def weights(value) -> Weights:
    return Weights(np.float32(value) * RAMP, np.zeros(0, np.float32))


def client(attack, **settings) -> Client:
    """Return the malicious client of a study, whose training adds 0.5 to every weight."""
    experiment = Experiment.of(
        federation__clients=5, poisoning__malicious=[2], poisoning__attack=attack, **settings
    )
    study = Study(experiment, Problem((8, 8, 1), 2))

    def update_of(training):
        def update(start, data, batches, **how):
            return Weights(start.trainable + LEARNT, start.statistics), {"loss": 0.5}

        return update

    training = LocalTraining(experiment.training, experiment.data, 5, study.problem, 0, update_of)
    classifier = SimpleNamespace(layout=LAYOUT)
    attacker = Attacker(study.attack, study.schedule, lambda: study.attack_context(2), classifier)
    return Client(2, SHARD, training, LAYOUT, attacker=attacker)


def test_poisonedfl_hears_of_the_last_change_from_its_second_round_on():
    one = client("poisonedfl(strength=2.0)")
    first, _ = one.train(weights(1), 1, {})
    assert first.weights.trainable.tolist() == RAMP.tolist()
    assert AttackMemory.of(first.memory).weights.tolist() == RAMP.tolist()
    second, _ = one.train(weights(1.5), 2, {}, memory=first.memory)
    sent = second.weights.trainable - np.float32(1.5) * RAMP
    assert np.linalg.norm(sent) == pytest.approx(2 * 0.5 * LENGTH, rel=1e-5)
    np.testing.assert_allclose(AttackMemory.of(second.memory).update, sent, atol=1e-6)


def test_honest_rounds_are_watched_and_do_not_count_as_the_attacks():
    one = client("poisonedfl", poisoning__first_round=3)
    memory = {}
    for round in (1, 2):
        sent, _ = one.train(weights(round), round, {}, memory=memory)
        np.testing.assert_array_equal(sent.weights.trainable, round * RAMP + LEARNT)
        memory = sent.memory
        assert sorted(memory) == ["round", "update", "weights"]
    np.testing.assert_allclose(AttackMemory.of(memory).update, 0.5, atol=1e-6)
    attacked, _ = one.train(weights(3), 3, {}, memory=memory)
    assert np.linalg.norm(attacked.weights.trainable - 3 * RAMP) == pytest.approx(8 * LENGTH, rel=1e-5)


def test_an_attack_without_memory_keeps_nothing():
    for attack in ("sign-flip", "label-flip"):
        sent, _ = client(attack).train(weights(1), 1, {})
        assert not sent.memory
    assert not client("sign-flip", poisoning__first_round=2).train(weights(1), 1, {})[0].memory


def test_what_a_client_misses_is_in_the_next_change():
    one = client("poisonedfl(strength=1.0)")
    first, _ = one.train(weights(0), 1, {})
    later, _ = one.train(weights(3), 6, {}, memory=first.memory)
    assert np.linalg.norm(later.weights.trainable - 3 * RAMP) == pytest.approx(3 * LENGTH, rel=1e-5)
