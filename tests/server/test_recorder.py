"""What a study notes of itself."""

import json
from dataclasses import replace
from types import SimpleNamespace

from small_study import dataset

import server.recorder
from fedrobust.config import Experiment
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import (
    ClientsRecord,
    DefenceRecord,
    FailureRecord,
    MetricsRecord,
    ModelRecord,
    RoundRecord,
    RunRecord,
    to_json,
)
from fedrobust.runs.round_log import RoundLog
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
        "counts": {"train": [1, 1, 1], "validation": [1, 1, 1], "test": [1, 2, 1]},
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


def test_a_resumed_study_keeps_the_command_that_began_it():
    """The command that resumed it does not repeat it; where the first process had none, there is none."""
    first = "fedrobust run quickstart --out runs/a"
    for before, expected in (({"command": first}, {"command": first}), ({}, {})):
        recorder = Recorder("study", {}, [])
        recorder.note(environment={"numpy": "2.5", "command": "fedrobust run --resume runs/a"})
        recorder.go_on(RunRecord(status="stopped", environment={"numpy": "2.4", **before}), 2)
        assert recorder.run.environment == {"numpy": "2.5", **expected}


def test_rounds_that_were_told_are_on_disk_and_come_back_in_order(tmp_path):
    recorder, folder = Recorder("study", {}, []), RunFolder(tmp_path)
    recorder.log = RoundLog.of(folder, ())
    entries = [RoundRecord(round=number, kept="as it was", seconds=0.5 * number) for number in (1, 2, 3)]
    for entry in entries[:2]:
        recorder.add_round(entry)
        assert (recorder.run.rounds, recorder.mark.rounds) == ((entry,), entry.round - 1), "not told yet"
        recorder.tell_round(folder, entry)
        assert (recorder.run.rounds, recorder.mark.rounds) == ((), entry.round)
    recorder.add_round(entries[2])
    assert list(recorder.rounds()) == entries
    assert list(recorder.latest_first()) == entries[::-1]
    assert [json.loads(line)["round"] for line in folder.file("metrics.jsonl").open()] == [1, 2]
    recorder.gather()
    assert (recorder.run.rounds, recorder.log) == (tuple(entries), None)
    recorder.gather()
    assert recorder.run.rounds == tuple(entries), "once more changes nothing"


def test_a_process_that_is_interrupted_while_it_logs_counts_the_round_once(tmp_path):
    recorder, entry = Recorder("study", {}, []), RoundRecord(round=1)
    recorder.log = RoundLog.of(RunFolder(tmp_path), ())
    recorder.add_round(entry)
    recorder.log.append(entry)  # and not a step further
    recorder.gather()
    assert recorder.run.rounds == (entry,)


def test_the_result_is_the_same_whether_rounds_were_on_disk(tmp_path):
    entries = [
        RoundRecord(
            round=number,
            clean=MetricsRecord(n=3, accuracy=1 / 3, loss=0.1 + 0.2, majority_rate=1.0),
            robust={"fgsm": {"4/255": MetricsRecord(n=3, accuracy=0.0)}},
            clients=ClientsRecord(sampled=3, trained=2, failed=1, failures=(FailureRecord(partition=2),)),
            defence=DefenceRecord(rule="krum", influence=(0.5, 1e-300), partitions=(0, 1)),
            seconds=1e22,
        )
        for number in (1, 2)
    ]
    kept, logged = Recorder("study", {}, []), Recorder("study", {}, [])
    logged.log = RoundLog.of(RunFolder(tmp_path), ())
    for entry in entries:
        for one in (kept, logged):
            one.add_round(entry)
            one.tell_round(RunFolder(tmp_path), entry)
    for name, one in (("kept", kept), ("logged", logged)):
        (tmp_path / name).mkdir()
        one.gather()
        one.note(seconds=1.0)
        RunFolder(tmp_path / name).write_json("result.json", one.run.to_json())
    assert (tmp_path / "kept/result.json").read_bytes() == (tmp_path / "logged/result.json").read_bytes()
