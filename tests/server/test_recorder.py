"""What a study notes of itself."""

from dataclasses import replace
from types import SimpleNamespace

from small_study import dataset

import server.recorder
from fedrobust.config import Experiment
from fedrobust.runs.record import ModelRecord, RoundRecord, RunRecord, to_json
from server.recorder import Recorder, described


def test_the_entry_of_a_data_set():
    assert to_json(described(dataset())) == {
        "name": "made-up",
        "source": "this file",
        "licence": "none",
        "digest": "0123456789abcdef",
        "task": "multi-class",
        "labels": ["healthy", "one", "two"],
        "disease": [1, 2],
        "image-shape": [5, 4, 1],
        "samples": {"train": 3, "validation": 3, "test": 4},
        "counts": {"train": [1, 1, 1], "validation": [2, 1, 0], "test": [1, 3, 0]},
    }


def test_a_new_study_has_nothing_to_show():
    experiment = Experiment.of(name="made-up")
    assert Recorder(experiment.name, experiment.to_dict(), ["mind this"]).run.to_json() == {
        "schema": 2,
        "status": "running",
        "error": None,
        "name": "made-up",
        "experiment": experiment.to_dict(),
        "rounds": [],
        "resumed-after": [],
        "tolerance": None,
        "remarks": ["mind this"],
        "environment": {},
        "dataset": None,
        "model": None,
        "forecast": None,
        "model-evaluation": None,
        "audit": None,
        "student": None,
        "export": [],
        "seconds": 0.0,
    }


def test_what_is_noted_of_the_model_stays_beside_what_was_noted_before():
    recorder = Recorder("study", {}, [])
    recorder.note_model(name="net")
    recorder.note_model(selected_round=3)
    assert recorder.run.model == ModelRecord(name="net", selected_round=3)


def test_a_resumed_study_goes_on_with_its_record_and_its_seconds(monkeypatch):
    monkeypatch.setattr(server.recorder, "time", SimpleNamespace(perf_counter=lambda: 100.0))
    recorder = Recorder("study", Experiment.of().to_dict(), [])
    recorder.note(environment={"when": "now"})
    before = RunRecord(
        status="stopped",
        error="stopped after 2 of 9 rounds",
        environment={"when": "then"},
        seconds=5.0,
        rounds=(RoundRecord(round=1), RoundRecord(round=2)),
        resumed_after=(1,),
        remarks=("mind this",),
    )
    recorder.go_on(before, 2)
    changes = {"status": "running", "error": None, "environment": {"when": "now"}, "resumed_after": (1, 2)}
    assert recorder.run == replace(before, **changes)
    assert (recorder.started, recorder.seconds) == (95.0, 5.0), "the seconds of before count"
