"""Postprocessors of updates: clipping by its formula, clients and server in turn; attackers do not keep to it."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from clients.client import Client
from fedrobust.aggregation import defence
from fedrobust.algorithms import Sent
from fedrobust.config import ConfigError, Experiment
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import Attack, Schedule
from fedrobust.privacy import Clip, at_client, at_server
from fedrobust.privacy.clip import clipped
from fedrobust.study import Study
from server.aggregation_step import AggregationStep

LAYOUT = Layout((Entry("kernel", (2,), "trainable"), Entry("norm/moving_mean", (1,), "statistic")))
START = Weights(np.array([1.0, 1.0], np.float32), np.array([5.0], np.float32))


@dataclass(frozen=True)
class Shift:
    """Adds to a client's update, and to the aggregate."""

    by: float = 1.0

    def client(self, update, generator):
        return update + self.by

    def server(self, update, generator):
        return update * generator.integers(2, 3)


def draw():
    return np.random.default_rng(0)


def test_no_update_is_longer_than_the_norm_by_the_rounding_of_a_tiny_share():
    for norm in (1e-3, 1e-8, 1e-12):
        for length in (1e30, 1.4e35, 3e38):
            update = np.array([length, -length / 3], np.float32)
            found = np.linalg.norm(clipped(update, norm).astype(np.float64))
            assert found == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 7.0, 1e30])
def test_no_update_is_longer_than_the_norm_and_none_is_turned(length):
    update = np.full(4, length / 2, np.float32)
    clipped = Clip(norm=1.0).client(update, draw())
    assert clipped.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(clipped.astype(float)), min(length, 1.0), rtol=1e-6)
    np.testing.assert_allclose(clipped, clipped[0])


def test_each_acts_in_its_order_and_on_its_side():
    update = np.array([3.0, 4.0], np.float32)
    np.testing.assert_allclose(at_client([Clip(norm=1.0), Shift()], update, draw()), [1.6, 1.8])
    np.testing.assert_allclose(
        at_client([Shift(), Clip(norm=1.0)], update, draw()), np.array([4, 5]) / np.sqrt(41)
    )
    np.testing.assert_allclose(at_server([Clip(norm=1.0), Shift()], update, draw())[0], [6, 8])


def client(attacker=None):
    def train(shard, weights, round, number, changed, steering, work, attacked):
        return Weights(weights.trainable + np.array([3, 4], np.float32), weights.statistics + 1), {
            "loss": 0.5
        }

    train.seed = train.noise_seed = 0
    return Client(2, None, train, LAYOUT, postprocessors=(Clip(norm=1.0),), attacker=attacker)


def test_a_client_sends_its_clipped_update_and_its_own_statistics():
    sent, metrics = client().train(START, 1, {})
    np.testing.assert_allclose(sent.weights.trainable, [1.6, 1.8])
    assert (sent.weights.statistics.tolist(), metrics) == ([6.0], {"loss": 0.5})


def test_a_malicious_client_does_not_keep_to_it():
    huge = replace(START, trainable=np.array([1e6, 1e6], np.float32))
    attacker = SimpleNamespace(
        schedule=Schedule((2,)),
        train=lambda honest, weights, algorithm, state, measure, memory: (Sent(huge), {"loss": 0.0}),
    )
    assert client(attacker).train(START, 1, {})[0].weights is huge


def test_the_server_s_side_acts_on_the_aggregate():
    step = AggregationStep(
        defence("mean"), 0, None, Attack(), Schedule(), 0, lambda *_: None, postprocessors=(Shift(),)
    )
    mean = replace(START, trainable=START.trainable + 3)
    assert step.next_weights(1, START, mean).weights.trainable.tolist() == [7.0, 7.0]
    assert replace(step, postprocessors=()).next_weights(1, START, mean).weights is mean


def test_a_study_names_them():
    study = Study.of(Experiment.of(federation__postprocessors=("clip(norm=2.0)",), data__samples=60))
    assert study.postprocessors == (Clip(norm=2.0),)
    with pytest.raises(ConfigError, match=r"federation.postprocessors = \['clip\(norm=0\)'\].*norm = 0"):
        Experiment.of(federation__postprocessors=("clip(norm=0)",))
