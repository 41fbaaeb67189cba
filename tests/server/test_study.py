"""What a round comes to: the next model, or everything as it was."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.flower.records import weights_record
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.folder import RunFolder
from server.app import Study
from server.errors import AttackFailedError, RoundError

LAYOUT = Layout((Entry("kernel", (2,), "trainable"), Entry("norm/moving_variance", (1,), "statistic")))


def weights(value, variance=1.0) -> Weights:
    return Weights(np.full(2, value, np.float32), np.array([variance], np.float32))


BEFORE = Checkpoint(4, weights(7.0), weights(6.0), 0.5, "", {}, {"optimizer/velocity": np.full(2, 0.25)})
NEW = {"optimizer/velocity": np.full(2, 99.0)}


def made(next_weights, fault="", error=None, recalibrated=None, judged=""):
    """Return what a study makes of a round whose strategy answers so, and what its evaluator was shown."""
    seen = []

    def aggregate_train(round, replies):
        if error is not None:
            raise error
        return weights_record(next_weights), {}

    def judge(shown):
        seen.append(shown)
        return judged

    strategy = SimpleNamespace(
        aggregate_train=aggregate_train, outcome=SimpleNamespace(fault=fault, memory=NEW)
    )
    evaluator = SimpleNamespace(
        classifier=SimpleNamespace(layout=LAYOUT),
        dataset=SimpleNamespace(validation=SimpleNamespace(images=np.zeros((3, 4, 4, 1), np.uint8))),
        fault=judge,
    )
    measure = None if recalibrated is None else lambda given: recalibrated
    return Study(Experiment.of(), None, None).made(5, BEFORE, strategy, evaluator, measure, []), seen


def test_a_sound_model_is_taken_over_with_what_is_remembered():
    found, seen = made(weights(8.0))
    assert (found.weights.digest(), found.memory, found.kept, found.failed) == (
        weights(8.0).digest(),
        NEW,
        "",
        False,
    )
    assert [shown.digest() for shown in seen] == [weights(8.0).digest()]


def test_it_is_the_recalibrated_model_that_is_judged_and_taken():
    found, seen = made(weights(8.0), recalibrated=weights(8.0, 3.0))
    assert found.weights.digest() == weights(8.0, 3.0).digest() == seen[0].digest()


@pytest.mark.parametrize(
    ("round", "why"),
    [
        ({"next_weights": weights(8.0), "fault": "too large"}, "round 5: too large"),
        ({"next_weights": weights(np.nan)}, "round 5: 2 of its weights are not finite"),
        ({"next_weights": weights(8.0, -1)}, "round 5: statistics: 1 of 1 moving variances are negative"),
        (
            {"next_weights": weights(8.0), "recalibrated": weights(8.0, np.nan)},
            "round 5: 1 of its statistics are not finite",
        ),
        (
            {"next_weights": weights(8.0), "recalibrated": weights(8.0, -1)},
            "round 5: statistics: 1 of 1 moving variances are negative",
        ),
        ({"next_weights": weights(8.0), "judged": "no numbers"}, "round 5: no numbers"),
        ({"next_weights": weights(8.0), "error": RoundError("round 5: nobody")}, "round 5: nobody"),
    ],
)
def test_otherwise_weights_and_memory_are_those_of_before(round, why):
    found, _ = made(**round)
    assert found.kept == why
    assert found.weights is BEFORE.weights
    assert found.memory is BEFORE.memory
    assert found.failed == ("error" in round)


def test_a_failed_attack_is_not_a_failed_round():
    with pytest.raises(AttackFailedError, match="client 2"):
        made(weights(8.0), error=AttackFailedError("client 2"))


def stopped(folder, before, patience=3, rounds=9) -> str:
    """Return why a study stops after a failed round that comes after such (failed or not) rounds; "" if it goes on."""
    study = Study(Experiment.of(federation__patience=patience, federation__rounds=rounds), None, None)
    reasons = enumerate(before, start=1)
    study.result["rounds"] = [
        {"failed": bad, "kept": f"round {number}: few" if bad else None} for number, bad in reasons
    ]
    number = len(before) + 1
    entry = {
        "round": number,
        "failed": True,
        "kept": f"round {number}: few",
        "clients": {},
        "clean": None,
        "robust": {},
        "seconds": 0.0,
    }
    try:
        study.stop_after_failures(number, RunFolder(folder), entry)
    except RoundError as error:
        assert study.result["rounds"][-1] is entry
        assert json.loads((folder / "metrics.jsonl").read_text())["round"] == number
        return str(error)
    assert len(study.result["rounds"]) == len(before)
    return ""


@pytest.mark.parametrize(
    ("before", "patience", "rounds", "why"),
    [
        ([], 3, 9, ""),
        ([True], 3, 9, ""),
        ([True, True], 3, 9, "round 1: few; and no better in any round up to 3 (federation.patience = 3)"),
        ([True, True, False, True], 3, 9, ""),
        (
            [True, False, True, True],
            3,
            9,
            "round 3: few; and no better in any round up to 5 (federation.patience = 3)",
        ),
        ([], 1, 9, "round 1: few (federation.patience = 1)"),
        ([False, False], 1, 9, "round 3: few (federation.patience = 1)"),
        ([True], 3, 2, "round 1: few; and no better in any round up to 2 (federation.patience = 3)"),
        ([False], 3, 2, ""),
    ],
)
def test_how_many_failed_rounds_in_a_row_stop_a_study(tmp_path, before, patience, rounds, why):
    assert stopped(tmp_path, before, patience, rounds) == why


def test_rounds_of_earlier_versions_did_not_fail(tmp_path):
    study = Study(Experiment.of(), None, None)
    study.result["rounds"] = [{"kept": None}, {"kept": "unsound"}]
    study.stop_after_failures(3, RunFolder(tmp_path), {"failed": True, "kept": "few"})
