"""A finished run, read from its folder."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedrobust import runtime
from fedrobust.config import Experiment
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.run import Run


def metrics(start: float, auc: bool = True) -> dict:
    """Figures that are all different: start, start + 1, ..."""
    return {
        "accuracy": start,
        "balanced_accuracy": start + 1,
        "auc": start + 2 if auc else None,
        "majority_rate": start + 3,
        "interval": {
            "accuracy": [start + 4, start + 5],
            "balanced_accuracy": [start + 6, start + 7],
            "auc": [start + 8, start + 9] if auc else None,
        },
    }


RESULT = {
    "schema": 1,
    "status": "finished",
    "experiment": {},
    "student": {"name": "small"},
    "export": [{"file": "student.tflite"}],
    "rounds": [
        {"round": 0, "clean": metrics(100), "robust": {}, "clients": None, "seconds": 1.5},
        {
            "round": 1,
            "clean": None,
            "robust": {},
            "clients": {"trained": 3, "failed": 1, "loss": 0.25, "sampled": 4},
            "seconds": 2.5,
        },
        {
            "round": 2,
            "clean": metrics(200, auc=False),
            "robust": {"fgsm": {"0.005": metrics(300), "0.01": None}, "pgd": {"0.01": metrics(400)}},
            "seconds": 3.5,
        },
    ],
}


def test_the_record_has_a_type_for_every_key(run):
    first, second, third = run.record.rounds
    assert (first.clean.balanced_accuracy, first.clean.limits("auc")) == (101.0, (108.0, 109.0))
    assert (second.clients.trained, third.clients.trained) == (3, None)
    assert list(third.robust["fgsm"]) == ["0.005"], "null is what was not measured"
    assert run.record.student.name == "small"


def test_a_record_of_another_kind_is_refused_with_the_path_of_its_key(tmp_path):
    (tmp_path / "experiment.toml").write_text('name = "mine"\n')
    (tmp_path / "result.json").write_text(json.dumps({**RESULT, "rounds": [{"round": "one"}]}))
    with pytest.raises(
        RunFolderError, match=r"result.json: damaged: rounds\[0\].round: 'one' is no whole number"
    ):
        _ = Run.open(tmp_path).record


@pytest.fixture
def run(tmp_path) -> Run:
    (tmp_path / "experiment.toml").write_text('name = "mine"\n')
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    return Run.open(tmp_path)


def named(prefix: str, start: float) -> dict[str, float]:
    return {
        f"{prefix}accuracy": start,
        f"{prefix}accuracy low": start + 4,
        f"{prefix}accuracy high": start + 5,
        f"{prefix}balanced_accuracy": start + 1,
        f"{prefix}balanced_accuracy low": start + 6,
        f"{prefix}balanced_accuracy high": start + 7,
        f"{prefix}auc": start + 2,
        f"{prefix}auc low": start + 8,
        f"{prefix}auc high": start + 9,
        f"{prefix}majority_rate": start + 3,
    }


def measured(run: Run, place: int) -> dict:
    return run.rounds.iloc[place].dropna().to_dict()


def test_a_row_a_round(run):
    assert list(run.rounds["round"]) == [0, 1, 2]
    assert measured(run, 0) == {"round": 0, "failed": 0, "seconds": 1.5, **named("", 100)}
    assert measured(run, 1) == {"round": 1, "trained": 3, "failed": 1, "loss": 0.25, "seconds": 2.5}
    last = {"round": 2, "failed": 0, "seconds": 3.5, **named("", 200), **named("fgsm 0.005 ", 300)}
    for name in ("auc", "auc low", "auc high"):
        del last[name]
    assert measured(run, 2) == {**last, **named("pgd 0.01 ", 400)}


def test_the_columns_in_their_order(run):
    assert list(run.rounds) == [
        "round",
        *named("", 0),
        "trained",
        "failed",
        "loss",
        "seconds",
        *named("fgsm 0.005 ", 0),
        *named("pgd 0.01 ", 0),
    ]


def test_what_a_run_left_behind(run, tmp_path):
    assert run.folder == RunFolder(tmp_path)
    assert run.path == tmp_path
    assert run.status == "finished"
    assert run.report == tmp_path / "report.html"
    assert run.student == {"name": "small"}
    assert run.export == [{"file": "student.tflite"}]
    assert run.export is not run.result["export"], "a list of one's own"
    assert run.experiment == Experiment.load(tmp_path / "experiment.toml")
    assert run.experiment.name == "mine"


def test_the_model_is_read_from_its_file(run, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(runtime, "start_tensorflow", lambda: started.append(True))
    reader = SimpleNamespace(load_keras=lambda path: (path, len(started)))  # the real one imports TensorFlow
    monkeypatch.setitem(sys.modules, "fedrobust.models.keras_file", reader)
    assert run.model() == (tmp_path / "model.keras", 1), "TensorFlow is started before"


def test_a_folder_without_a_study_is_no_run(tmp_path):
    with pytest.raises(RunFolderError) as refusal:
        Run.open(Path(tmp_path))
    assert str(refusal.value) == f"{tmp_path}: not a run folder (it has no experiment.toml)"
