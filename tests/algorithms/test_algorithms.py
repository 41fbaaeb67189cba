"""Federated algorithms: what clients send and remember, on every engine, and after a stop."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import fedrobust
from fedrobust.algorithms import ALGORITHMS, FedAvg, FedProx
from fedrobust.algorithms.contract import proximal_of, sent_by_client
from fedrobust.config import ConfigError, Experiment
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

    def server(self, update, memory):
        return update / 2, {"rounds": memory.get("rounds", np.zeros(1)) + 1}


def test_federated_averaging_sends_what_was_trained_and_remembers_nothing():
    sent, state = sent_by_client(FedAvg(), START, {"old": np.ones(1)}, plus_one)
    assert sent.trainable.tolist() == [2.0, 3.0]
    assert state == {}
    assert proximal_of(FedAvg()) == 0


def test_a_client_finds_what_it_returned_before():
    sent, state = sent_by_client(Momentum(), START, {}, plus_one)
    assert (sent.trainable.tolist(), state["count"].item()) == ([2.0, 3.0], 1)
    sent, state = sent_by_client(Momentum(), START, state, plus_one)
    assert (sent.trainable.tolist(), state["count"].item()) == ([2.5, 3.5], 2)


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
