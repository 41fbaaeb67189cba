"""Whole studies in which something goes wrong that nobody announced: no [poisoning], or an attack that fails."""

import errno
import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, Context, Message
from flwr.clientapp import ClientApp

import fedrobust
from clients.app import app as honest
from fedrobust.config import Experiment
from fedrobust.engines.simulate import simulate
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.runs.events import RoundFinished, RoundStarted
from fedrobust.runs.folder import RunFolderError
from fedrobust.runs.run import Run
from fedrobust.study import Study
from server.errors import AttackFailedError, RoundError, UnmeasurableError
from server.stages.evaluation import Evaluator

SETTINGS = {
    "data__samples": 90,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "model__batchnorm_policy": "average",
    "federation__clients": 3,
    "federation__rounds": 3,
    "training__batch_size": 16,
    "evaluation__epsilons": [0.005],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def study(tmp_path, **settings) -> Experiment:
    return Experiment.quickstart(**{**SETTINGS, "output__dir": str(tmp_path / "run"), **settings})


BEHAVIOUR: dict[tuple[int, int], Any] = {}
"""(round, partition) -> what is done to the reply; None for an error."""

misled = ClientApp()


@misled.query()
def introduce(message: Message, context: Context) -> Message:
    return honest(message, context)


@misled.train()
def train(message: Message, context: Context) -> Message:
    round, partition = message.content["config"]["round"], context.node_config["partition-id"]
    change = BEHAVIOUR.get((round, partition), lambda weights: None)
    reply = honest(message, context)
    if change is None:
        raise OSError("no power")
    record: Any = reply.content["weights"]
    arrays = {name: record[name].numpy().copy() for name in ("trainable", "statistics")}
    change(arrays)
    for name, array in arrays.items():
        record[name] = Array(array)
    return reply


def run(experiment, behaviour, *listeners):
    BEHAVIOUR.clear()
    BEHAVIOUR.update(behaviour)
    return simulate(experiment, *listeners, client_app=f"{__name__}:misled")


def filled(value):
    def change(arrays):
        arrays["trainable"][:] = value

    return change


def with_statistic(value):
    def change(arrays):
        arrays["statistics"][-1] = value  # the last of the variances

    return change


everywhere = [(round, partition) for round in (1, 2, 3) for partition in range(3)]


def test_a_client_with_a_negative_variance_is_left_out_of_the_mean(tmp_path):
    heard = []
    finished = run(study(tmp_path, federation__rounds=2), {(1, 0): with_statistic(-0.5)}, heard.append)
    first, second = finished.result["rounds"]
    assert first["clients"]["failures"] == [
        {
            "partition": 0,
            "reason": "statistics: 1 of 56 moving variances are negative, the first in "
            "stage3_batchnorm/moving_variance",
        }
    ]
    assert (first["clients"]["trained"], second["clients"]["trained"]) == (2, 3)
    assert first["kept"] is None
    assert first["clean"]["n"] == 500


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        (1e30, "average"),
        (1e13, "recalibrate"),
        *(
            pytest.param(value, policy, marks=pytest.mark.slow)
            for value, policy in (
                (1e30, "recalibrate"),
                (-3e38, "average"),
                (-3e38, "recalibrate"),
                (1e13, "average"),
            )
        ),
    ],
)
def test_absurd_updates_under_the_mean_never_end_a_study(tmp_path, value, policy):
    experiment = study(tmp_path, model__batchnorm_policy=policy, federation__rounds=2)
    finished = run(experiment, {place: filled(value) for place in everywhere if place[1] == 1})
    assert finished.status == "finished"
    start = Study.of(experiment).initial()[1].digest()
    for entry in finished.result["rounds"]:
        assert entry["clean"]["n"] == 500
        assert (entry["kept"] is None) == (
            value == 1e13 and policy == "recalibrate" and entry["kept"] is None
        )
    if abs(value) > 1e20:
        assert all("finite" in entry["kept"] for entry in finished.result["rounds"])
        assert not any(entry["failed"] for entry in finished.result["rounds"])
        assert (finished.result["model"]["digest"], finished.result["model"]["selected-round"]) == (
            start,
            None,
        )
        assert finished.result["model-evaluation"]["clean"] == finished.result["rounds"][-1]["clean"]


@pytest.mark.parametrize(
    ("rule", "optimizer"),
    [
        ("centred-clipping(threshold=1e36)", "fedadam"),
        pytest.param("mean", "fedavgm", marks=pytest.mark.slow),
        pytest.param("mean", "fedyogi", marks=pytest.mark.slow),
    ],
)
def test_a_rejected_round_is_as_if_it_had_not_been(tmp_path, rule, optimizer):
    """A round whose model is refused and one from which nobody answers leave the same bits behind."""
    settings = {
        "federation__aggregator": rule,
        "federation__server_optimizer": optimizer,
        "evaluation__select": "best",
        "output__dir": "",
    }
    digests = []
    for name, change in (("absurd", filled(1e30)), ("silent", None)):
        experiment = study(tmp_path, **settings, output__root=str(tmp_path / name))
        finished = run(experiment, {(2, partition): change for partition in range(3)})
        kept = [entry["kept"] for entry in finished.result["rounds"]]
        assert (kept[0], kept[2]) == (None, None)
        assert kept[1].startswith("round 2: ")
        assert [entry["failed"] for entry in finished.result["rounds"]] == [False, change is None, False]
        assert finished.result["rounds"][0]["clean"] == finished.result["rounds"][1]["clean"]
        assert finished.result["model"]["selected-round"] in (1, 3), "a rejected round is never the best"
        digests.append(finished.result["model"]["digest"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "attackers", [{}, {"poisoning__attack": "not-finite", "poisoning__malicious": [0, 1]}]
)
def test_too_few_good_replies_stop_a_study_when_patience_is_over(tmp_path, attackers):
    """Whether the study knows of its attackers or not."""
    spoilt = {place: filled(np.nan) for place in everywhere if place[1] < 2 and place[0] > 1}
    settings = {**attackers, "federation__rounds": 3, "federation__patience": 2}
    if attackers:
        settings["poisoning__first_round"] = 2
    with pytest.raises(
        RoundError, match=r"^round 2: 1 of 3 sampled clients are left.*any round up to 3 \(federation"
    ):
        run(study(tmp_path, **settings), spoilt)
    stopped = Run.open(tmp_path / "run")
    assert stopped.status == "failed"
    assert [entry["failed"] for entry in stopped.result["rounds"]] == [False, True, True]
    assert "asks for 2; first reason: client 0: trainable has" in stopped.result["rounds"][1]["kept"]
    if attackers:
        assert stopped.result["rounds"][1]["defence"]["attacked"], "also where nothing came of the round"
        assert stopped.result["rounds"][1]["defence"]["refused"] == [0, 1]
    with pytest.raises(RoundError):  # the last round is tried again, and fails again
        run(study(tmp_path, **settings, output__resume=True), spoilt)


def test_a_study_is_patient_and_goes_on_when_clients_come_back(tmp_path):
    silent = {(round, partition): None for round in (1, 2) for partition in (0, 1)}
    finished = run(study(tmp_path, federation__patience=3), silent)
    assert [entry["failed"] for entry in finished.result["rounds"]] == [True, True, False]
    assert finished.result["model"]["selected-round"] == 3
    with pytest.raises(RoundError, match="round 1: 1 of 3"):  # no round at all: that is no finished study
        run(study(tmp_path / "short", federation__rounds=2, federation__patience=9), silent)


@dataclass(frozen=True)
class Broken:
    """An attack whose code fails at the second malicious client."""

    def update(self, update, context):
        if context.client_id == 2:
            raise IndexError("there is no class 7")
        return -update

    def criterion(self, split, context):
        from fedrobust.poisoning import SuccessCriterion

        return SuccessCriterion(split.images[:9], split.images[:9], np.zeros(9, np.int64))


BROKEN = {
    "poisoning__attack": f"{__name__}:Broken",
    "poisoning__malicious": [0, 2],
    "poisoning__first_round": 2,
}


def test_an_attacker_that_fails_stops_the_study(tmp_path):
    settings = {**BROKEN, "federation__clients": 7, "federation__aggregator": "multi-krum"}
    with pytest.raises(
        AttackFailedError, match=r"round 2: malicious client 2 failed: IndexError: there is no class 7"
    ):
        fedrobust.run(study(tmp_path, **settings))
    stopped = Run.open(tmp_path / "run").result
    assert (stopped["status"], len(stopped["rounds"])) == ("failed", 2)
    assert stopped["rounds"][1]["defence"]["valid"] is False
    assert 'poisoning.on-failure = "mark"' in stopped["error"]


def test_or_marks_its_rounds_if_asked_to(tmp_path):
    settings = {**BROKEN, "federation__clients": 7, "federation__aggregator": "multi-krum"}
    finished = fedrobust.run(study(tmp_path, **settings, poisoning__on_failure="mark"))
    first, second, _ = finished.result["rounds"]
    assert (first["defence"]["valid"], first["defence"]["attacked"]) == (True, False)
    assert first["attack-success"]["rate"] is not None
    assert first["attack-success"]["without-trigger"] is None, "the attack adds nothing to an image"
    defence = second["defence"]
    assert (defence["valid"], defence["attacked"], defence["malicious"]) == (False, True, [0, 2])
    assert defence["attack-failures"] == [{"partition": 2, "reason": "IndexError: there is no class 7"}]
    for name in ("true-positive-rate", "false-positive-rate", "malicious-influence", "distance"):
        assert defence[name] is None, name
    assert second["attack-success"] is None
    assert finished.result["model-evaluation"]["attack-success"] is None
    assert second["clean"]["n"] == 500


def test_an_honest_client_that_fails_is_no_failure_of_the_attack(tmp_path):
    settings = {"poisoning__attack": "sign-flip", "poisoning__malicious": [0], "federation__rounds": 1}
    finished = run(study(tmp_path, **settings), {(1, 1): None})
    assert finished.result["rounds"][0]["defence"]["valid"] is True


def test_a_model_that_overflows_on_other_images_is_not_measured_and_does_not_end_a_round(
    tmp_path, monkeypatch
):
    """Its logits on validation images are finite, those on the test images are not."""
    test = Evaluator.test

    def overflows(self, weights, attacked=True):
        raise NotFiniteError("3 of 500 rows of logits hold NaN or infinity")

    monkeypatch.setattr(Evaluator, "test", overflows)
    with pytest.raises(UnmeasurableError, match="the selected model cannot be measured: 3 of 500"):
        fedrobust.run(study(tmp_path, federation__rounds=2))
    stopped = Run.open(tmp_path / "run").result
    assert [entry["clean"] for entry in stopped["rounds"]] == [None, None]
    assert stopped["rounds"][0]["unmeasured"].startswith("3 of 500 rows")
    monkeypatch.setattr(Evaluator, "test", test)
    assert fedrobust.resume(tmp_path / "run").status == "finished"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "No space left on device"),
        pytest.param(errno.EROFS, "Read-only file system", marks=pytest.mark.slow),
    ],
)
def test_a_full_or_read_only_disk_is_told_in_a_sentence_and_costs_no_finished_round(
    tmp_path, monkeypatch, code, words
):
    whole = fedrobust.run(study(tmp_path / "whole"))
    fsync, full = os.fsync, []

    def limited(handle):
        if full and "checkpoints" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(code, os.strerror(code))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", limited)
    with pytest.raises(
        RunFolderError, match=rf"cannot be written: {words}; .*go on with: fedrobust run --resume"
    ):
        fedrobust.run(study(tmp_path), lambda event: full.append(1) if event == RoundStarted(2, 3) else None)
    monkeypatch.undo()
    stopped = Run.open(tmp_path / "run").result
    assert stopped["status"] == "failed"
    assert words in stopped["error"]
    assert not list((tmp_path / "run").rglob(".fedrobust-writing-*"))
    resumed = fedrobust.resume(tmp_path / "run")
    assert resumed.result["resumed-after"] == [1]
    assert resumed.result["model"]["digest"] == whole.result["model"]["digest"]


def test_a_disk_that_takes_nothing_at_all_is_told_too(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RunFolderError, match=r"No space left on device; .*make room, then start the study anew"
    ):
        fedrobust.run(study(tmp_path))


def test_a_stopped_run_says_after_how_many_of_how_many_rounds(tmp_path):
    def stop(event):
        if isinstance(event, RoundFinished) and event.record.round == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(study(tmp_path), stop)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["error"]) == ("stopped", "stopped after 1 of 3 rounds")


def test_the_tolerance_stands_in_the_record(tmp_path):
    settings = {
        "federation__clients": 6,
        "federation__participation": 0.5,
        "poisoning__attack": "sign-flip",
        "poisoning__malicious": 2,
        "federation__aggregator": "trimmed-mean",
        "federation__rounds": 1,
    }
    result = fedrobust.run(study(tmp_path, **settings)).result
    assert result["tolerance"] == {
        "clients": 1,
        "source": "truth",
        "quantile": None,
        "told": True,
        "sampled": 3,
        "malicious": 2,
        "population": 6,
        "probability-of-more": pytest.approx(4 / 20),  # both, and one of four: 4 of the 20 triples
    }
    assert result["forecast"]["tolerance"] == result["tolerance"]
