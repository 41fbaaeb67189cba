"""Attacks that do not train, where the algorithm divides updates by the local steps (FedNova)."""

from types import SimpleNamespace

import numpy as np
import pytest

from clients.attacker import Attacker
from clients.client import Client
from fedrobust.algorithms import FedAvg, FedNova
from fedrobust.algorithms.contract import Received, sends_of
from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import Attack, AttackContext, AttackMemory
from fedrobust.study import Study
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.optimizers import SGD
from fedrobust.training.steering import Trained

LAYOUT = Layout((Entry("dense/kernel", (2, 3), "trainable"),))
START = Weights(np.array([1, 2, 3, -1, 0.5, 2], np.float32), np.zeros(0, np.float32))
SHARD = Split(np.zeros((40, 8, 8, 1), np.uint8), np.arange(40, dtype=np.int32) % 2)
UNTRAINED = ("zero", "mpaf(factor=3.0)", "free-rider(noise=0.5)", "poisonedfl", "free-rider")


class Replayed:
    """A local update with two steps on each batch, which adds 0.5 to every weight."""

    optimizer, replays = SGD(momentum=0.5), 2

    def __call__(self, start, data, batches, learning_rates, **how):
        rates = np.repeat(learning_rates, self.replays)
        return Trained(start.trainable + 0.5, start.statistics, rates, self.optimizer), {"loss": 0.5}


def sent_by(attack, algorithm, memory=None, **settings):
    """Return what clients 0 (honest) and 1 (malicious) of equal images send in round 2."""
    experiment = Experiment.of(
        federation__clients=4, poisoning__malicious=[1], poisoning__attack=attack, **settings
    )
    study = Study(experiment, Problem((8, 8, 1), 2))
    training = LocalTraining(
        experiment.training, experiment.data, 5, study.problem, 0, lambda training: Replayed()
    )
    attacker = Attacker(
        study.attack, study.schedule, lambda: study.attack_context(1), SimpleNamespace(layout=LAYOUT)
    )
    clients = (
        Client(0, SHARD, training, LAYOUT, algorithm),
        Client(1, SHARD, training, LAYOUT, algorithm, attacker=attacker),
    )
    return [client.train(START, 2, {}, memory=memory or {})[0] for client in clients]


def part_of_the_step(sent, algorithm):
    """Return what the malicious client adds to the mean of the two."""
    honest, update = sent[0], sent[1].weights.trainable - START.trainable
    names = sends_of(algorithm, LAYOUT)
    if not names:
        return update / 2
    arrays = {name: np.mean([one.arrays[name] for one in sent], axis=0) for name in names}
    assert [one.arrays["accumulated"][0] for one in sent] == [honest.arrays["accumulated"][0]] * 2
    return algorithm.server(update / 2, {}, Received(arrays, 2, 4))[0]


@pytest.mark.parametrize("attack", UNTRAINED)
@pytest.mark.parametrize("epochs", [1, 4])
def test_who_does_not_train_has_the_same_part_of_the_step_as_in_federated_averaging(attack, epochs):
    memory = AttackMemory(1, START.trainable - np.float32([1, 2, 1, 2, 1, 2]), own={}).arrays()
    parts = [
        part_of_the_step(sent_by(attack, one, memory, training__epochs=epochs), one)
        for one in (FedAvg(), FedNova())
    ]
    np.testing.assert_allclose(parts[1], parts[0], rtol=1e-4, atol=1e-6)
    assert parts[0].any() == (attack != "free-rider")


def test_a_norm_bound_behind_it_is_that_of_what_the_server_sees():
    _, sent = sent_by("mpaf(factor=3.0) + norm-bound(norm=0.25)", FedNova())
    assert np.linalg.norm(sent.weights.trainable - START.trainable) == pytest.approx(0.25, rel=1e-5)


def test_an_update_that_the_division_makes_infinite_stays_finite():
    context = AttackContext(current=np.full(3, 1e30, np.float32), divisor=1e-3)
    update = Attack.parse("mpaf(factor=1e7)").update(np.zeros(3, np.float32), context)
    assert np.isfinite(update).all()
    assert np.abs(update).max() > 1e38
