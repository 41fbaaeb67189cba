"""Federated algorithms: what clients send and remember, on every engine, and after a stop."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from flwr.common.serde import recorddict_from_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

import fedrobust
from fedrobust.algorithms import ALGORITHMS, FedAvg, FedProx
from fedrobust.algorithms.contract import proximal_of, sent_by_client
from fedrobust.config import ConfigError, Experiment
from fedrobust.flower.records import arrays_of
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.events import RoundFinished
from fedrobust.runs.folder import RunFolder
from fedrobust.spec import build
from fedrobust.study import Study

START = Weights(np.array([1.0, 2.0], np.float32), np.array([0.5], np.float32))


def plus_one(weights):
    return replace(weights, trainable=weights.trainable + 1)


@dataclass(frozen=True)
class Momentum:
    """Each client adds a share of its last update to the new one; the server halves what comes of it."""

    share: float = 0.5

    def client(self, start, state, train):
        step = train(start).trainable - start.trainable
        step = step + np.float32(self.share) * state.get("step", np.float32(0))
        count = state.get("count", np.zeros(1)) + 1
        return replace(start, trainable=start.trainable + step), {"step": step, "count": count}

    def server(self, update, memory, received):
        assert received.share == 1
        return update / 2, {"rounds": memory.get("rounds", np.zeros(1)) + 1}


def test_federated_averaging_sends_what_was_trained_and_remembers_nothing():
    sent = sent_by_client(FedAvg(), START, {"old": np.ones(1)}, plus_one)
    assert sent.weights.trainable.tolist() == [2.0, 3.0]
    assert (sent.state, sent.arrays) == ({}, {})
    assert proximal_of(FedAvg()) == 0


def test_a_client_finds_what_it_returned_before():
    first = sent_by_client(Momentum(), START, {}, plus_one)
    assert (first.weights.trainable.tolist(), first.state["count"].item()) == ([2.0, 3.0], 1)
    second = sent_by_client(Momentum(), START, first.state, plus_one)
    assert (second.weights.trainable.tolist(), second.state["count"].item()) == ([2.5, 3.5], 2)


def test_fedprox_is_written_in_two_ways_and_compiled_once():
    one = Study.of(Experiment.quickstart(data__samples=60, training__proximal=0.25))
    other = Study.of(Experiment.quickstart(data__samples=60, training__algorithm="fedprox(mu=0.25)"))
    assert one.algorithm == other.algorithm == build(ALGORITHMS, "fedprox(mu=0.25)") == FedProx(mu=0.25)
    for study in (one, other):
        assert study.local_training.update(study.experiment.training).proximal == 0.25


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"training__algorithm": "fedporx"}, 'training.algorithm = "fedporx".*did you mean "fedprox"'),
        ({"training__algorithm": "fedprox(mu=0.0)"}, "mu = 0.0"),
        (
            {"training__algorithm": "fedprox", "training__proximal": 0.1},
            r'give one of them, as in training.algorithm = "fedprox\(mu=0.1\)"',
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(given, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of(**given)


TINY = {
    "data__samples": 60,
    "federation__clients": 3,
    "federation__rounds": 3,
    "training__algorithm": f"{__name__}:Momentum",
    "evaluation__attacks": (),
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def digest(run):
    return run.result["model"]["digest"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fedrobust.run(out=tmp_path_factory.mktemp("algorithms") / "whole", **TINY)


def test_states_depend_on_no_number_of_workers(whole, tmp_path):
    assert digest(fedrobust.run(out=tmp_path / "other", engine__workers=3, **TINY)) == digest(whole)
    without = {**TINY, "training__algorithm": f"{__name__}:Momentum(share=0.0)"}
    assert digest(fedrobust.run(out=tmp_path / "without", **without)) != digest(whole)


def test_a_resumed_run_finds_the_clients_states(whole, tmp_path):
    def stop(event):
        if isinstance(event, RoundFinished) and event.record.round == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(None, stop, out=tmp_path / "stopped", **TINY)
    checkpoint = Checkpoint.latest(RunFolder.open(tmp_path / "stopped"))
    assert sorted(checkpoint.clients) == [1, 2, 3]
    assert checkpoint.memory["algorithm/rounds"].tolist() == [2]
    assert digest(fedrobust.resume(tmp_path / "stopped")) == digest(whole)


SCAFFOLD = {**TINY, "training__algorithm": "scaffold", "federation__rounds": 2}


def test_a_control_variate_goes_to_the_clients_and_comes_back_also_from_malicious_ones(tmp_path):
    """The server's control variate is the mean of the clients', weighted as they are: all take part here."""

    def stop(event):
        if isinstance(event, RoundFinished) and event.record.round == 2:
            raise KeyboardInterrupt

    attacked = {**SCAFFOLD, "poisoning__attack": "label-flip", "poisoning__malicious": [1]}
    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(None, stop, out=tmp_path / "stopped", **attacked)
    folder = RunFolder.open(tmp_path / "stopped")
    checkpoint = Checkpoint.latest(folder)
    assert [one.clients.trained for one in checkpoint.rounds(folder)] == [3, 3]
    states = [
        recorddict_from_proto(ProtoRecordDict.FromString(checkpoint.clients[node])) for node in (1, 2, 3)
    ]
    own = [arrays_of(state.array_records["algorithm"])["control"] for state in states]
    np.testing.assert_allclose(checkpoint.memory["algorithm/control"], np.mean(own, axis=0), atol=1e-5)
    resumed = fedrobust.resume(tmp_path / "stopped", engine__workers=3)
    assert digest(resumed) == digest(fedrobust.run(out=tmp_path / "whole", **attacked))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_algorithm_learns_and_gives_the_same_bits_with_any_number_of_workers(name, tmp_path):
    settings = {**TINY, "training__algorithm": name, "data__samples": 300, "federation__rounds": 4}
    one = fedrobust.run(out=tmp_path / "one", **settings)
    other = fedrobust.run(out=tmp_path / "other", engine__workers=3, **settings)
    assert digest(one) == digest(other)
    losses = [each["clients"]["loss"] for each in one.result["rounds"]]
    assert losses[-1] < 0.8 * losses[0]
