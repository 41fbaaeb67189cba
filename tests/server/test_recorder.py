"""What a study notes of itself."""

from types import SimpleNamespace

from small_study import dataset

import server.recorder
from fedrobust.config import Experiment
from fedrobust.models.layout import Entry, Layout
from fedrobust.runs.record import SCHEMA
from server.recorder import Recorder, described, described_model


def test_the_entry_of_a_data_set():
    assert described(dataset()) == {
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


def test_the_entry_of_a_model():
    layout = Layout((Entry("kernel", (2, 3), "trainable"), Entry("norm/moving_mean", (3,), "statistic")))
    assert described_model("net", layout, "imagenet", 64) == {
        "name": "net",
        "parameters": 6,
        "weights": "imagenet",
        "image-size": 64,
        "selected-round": None,
    }


def test_a_new_study_has_nothing_to_show():
    experiment = Experiment.of(name="made-up")
    assert Recorder(experiment.name, experiment.to_dict(), ["mind this"]).result == {
        "schema": SCHEMA,
        "status": "running",
        "error": None,
        "name": "made-up",
        "experiment": experiment.to_dict(),
        "rounds": [],
        "resumed-after": [],
        "tolerance": None,
        "remarks": ["mind this"],
        "audit": None,
        "student": None,
        "export": [],
        "seconds": 0.0,
    }


def test_a_resumed_study_goes_on_with_its_record_and_its_seconds(monkeypatch):
    monkeypatch.setattr(server.recorder, "time", SimpleNamespace(perf_counter=lambda: 100.0))
    recorder = Recorder("study", Experiment.of().to_dict(), [])
    recorder.result["environment"] = "now"
    before = {
        "status": "stopped",
        "error": "stopped after 2 of 9 rounds",
        "environment": "then",
        "seconds": 5.0,
        "rounds": [{"round": 1}, {"round": 2}],
        "resumed-after": [1],
        "remarks": ["mind this"],
    }
    recorder.go_on(before, 2)
    assert recorder.result == {
        **before,
        "status": "running",
        "error": None,
        "environment": "now",
        "resumed-after": [1, 2],
    }
    assert (recorder.started, recorder.seconds) == (95.0, 5.0), "the seconds of before count"
