"""Runs that are killed, interrupted or damaged, and go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fedrobust
import server.pipeline
from fedrobust.config import ConfigError, Experiment
from fedrobust.runs.checkpoint import Checkpoint, CheckpointNotice, resumable
from fedrobust.runs.events import RoundFinished, RoundStarted, StudyResumed
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.run import Run

SETTINGS = {
    "data__samples": 120,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 3,
    "federation__rounds": 4,
    "training__batch_size": 16,
    "training__schedule": "cosine",
    "evaluation__epsilons": [0.005],
    "evaluation__examples": 0,
    "evaluation__select": "best",
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}

DOOMED = """
import os, signal, sys
from fedrobust.config import Experiment
from fedrobust.engines.simulate import simulate

kind, folder, study, when = sys.argv[1:]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def listener(event):
    name = type(event).__name__
    if kind == "event" and (name, getattr(event, "round", None)) == ("RoundStarted", int(when)):
        die()

if kind == "fsync":
    # In the middle of a checkpoint: its bytes are written, its name is not.
    fsync, calls = os.fsync, []
    def counted(handle):
        path = os.readlink(f"/proc/self/fd/{handle}")
        if "/checkpoints/" in path and path.endswith(".npz"):
            calls.append(path)
            if len(calls) == int(when):
                die()
        fsync(handle)
    os.fsync = counted

simulate(Experiment.load(study).changed(output__dir=folder), listener)
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Experiment:
    return Experiment.quickstart(**SETTINGS, output__root=str(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory) -> Run:
    return fedrobust.run(study, out=tmp_path_factory.mktemp("whole") / "run")


def doomed(tmp_path, study, kind, when) -> RunFolder:
    """Run `study` in a process that kills itself."""
    (tmp_path / "study.toml").write_text(study.to_toml())
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", DOOMED, kind, str(folder), str(tmp_path / "study.toml"), str(when)],
        timeout=300,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return RunFolder.open(folder)


def figures(run: Run):
    """What a resumed run must have in common with one that was never stopped: all but times."""
    result = json.loads(json.dumps(run.result))
    for entry in result["rounds"]:
        entry.pop("seconds")
        entry.pop("training-seconds")
        entry["clients"].pop("seconds")
    names = ("rounds", "model", "model-evaluation", "dataset", "status")
    return {name: result[name] for name in names}


@pytest.mark.parametrize(
    ("kind", "when", "after"),
    [("event", 3, 2), pytest.param("fsync", 3, 1, marks=pytest.mark.slow), ("fsync", 1, None)],
)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, study, undisturbed, kind, when, after):
    folder = doomed(tmp_path, study, kind, when)
    if after is None:
        # Killed in its very first checkpoint: nothing was trained, nothing is lost, and it says so.
        with pytest.raises(RunFolderError, match="has no checkpoint; start the study anew"):
            fedrobust.resume(folder.path)
        return
    events = []
    run = fedrobust.resume(folder.path, events.append, engine__workers=1)
    assert [event.rounds for event in events if isinstance(event, StudyResumed)] == [after]
    assert [event.round for event in events if isinstance(event, RoundStarted)] == [*range(after + 1, 5)]
    assert figures(run) == figures(undisturbed)
    assert run.result["resumed-after"] == [after]
    lines = folder.file("metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2, 3, 4]
    assert not folder.file("checkpoints").exists()
    assert not list(folder.path.rglob(".fedrobust-writing-*")), "what the killed process was writing is swept"
    assert fedrobust.resume(folder.path).result == run.result, "a finished run is left as it is"


def interrupted(study, folder, in_round) -> RunFolder:
    def press_a_key(event):
        if isinstance(event, RoundStarted) and event.round == in_round:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(study, press_a_key, out=folder)
    return RunFolder.open(folder or study.output.dir)


def test_an_interrupted_run_says_so_and_goes_on(tmp_path, study, undisturbed):
    folder = interrupted(study, tmp_path / "run", in_round=3)
    stopped = Run.open(folder.path)
    assert (stopped.status, stopped.result["error"]) == ("stopped", "stopped after 2 of 4 rounds")
    assert len(stopped.rounds) == 2
    again = interrupted(resumable(folder), "", in_round=4)
    assert again.path == folder.path
    run = fedrobust.resume(folder.path)
    assert run.result["resumed-after"] == [2, 3]
    assert figures(run) == figures(undisturbed)


def test_a_run_stopped_before_its_report_gets_it_and_loses_its_checkpoints(
    tmp_path, study, undisturbed, monkeypatch
):
    folder, write = tmp_path / "run", server.pipeline.write_report
    # An earlier stop left the page of an unfinished run.
    interrupted(study, folder, in_round=3)
    write(folder)

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(server.pipeline, "write_report", killed)
    with pytest.raises(KeyboardInterrupt):
        fedrobust.resume(folder)
    before = (folder / "result.json").read_bytes()
    assert Run.open(folder).status == "finished"
    assert (folder / "checkpoints").is_dir()
    assert "fedrobust run --resume" in (folder / "report.html").read_text()

    with RunFolder(folder).locked(), pytest.raises(RunFolderError, match="another process is running"):
        fedrobust.resume(folder)
    run = fedrobust.resume(folder)
    assert figures(run) == figures(undisturbed)
    assert (folder / "result.json").read_bytes() == before
    assert not (folder / "checkpoints").exists()
    page = (folder / "report.html").read_text()
    assert "fedrobust run --resume" not in page
    assert page == write(folder).read_text()

    # A complete run is left as it is, also where its report was removed.
    (folder / "report.html").unlink()
    fedrobust.resume(folder)
    assert not (folder / "report.html").exists()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, study, undisturbed):
    folder = interrupted(study, tmp_path / "run", in_round=4)
    newest = max(folder.file("checkpoints").glob("round-*.npz"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with pytest.warns(CheckpointNotice, match="round-000003.npz: cannot be used \\(damaged: its digest"):
        assert Checkpoint.latest(folder).round == 2
    with pytest.warns(CheckpointNotice, match="damaged"):
        run = fedrobust.resume(folder.path)
    assert figures(run) == figures(undisturbed)
    assert run.result["resumed-after"] == [2]


def test_a_run_is_resumed_as_the_study_it_was(tmp_path, study):
    folder = interrupted(study, tmp_path / "run", in_round=2)
    with pytest.raises(ConfigError, match=r"other values of federation\.rounds, training\.learning-rate"):
        fedrobust.resume(folder.path, federation__rounds=9, training__learning_rate=0.1)
    stored = folder.read_json("partition.json")
    folder.write_json("partition.json", {**stored, "hash": "0" * 64})
    with pytest.raises(ConfigError, match=r"partition\.json is not the partition of this study"):
        fedrobust.resume(folder.path)


def test_two_processes_do_not_run_in_one_folder(tmp_path, study):
    folder = interrupted(study, tmp_path / "run", in_round=2)
    with folder.locked(), pytest.raises(RunFolderError, match="another process is running"):
        fedrobust.resume(folder.path)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path, study, undisturbed):
    (tmp_path / "study.toml").write_text(study.changed(federation__rounds=500).to_toml())
    command = [sys.executable, "-m", "fedrobust", "run", "study.toml", "--out", "run"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.startswith("round   2/500"):
            os.killpg(process.pid, signal.SIGINT)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.strip() == f"error: stopped; go on with: fedrobust run --resume {tmp_path / 'run'}"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    run = Run.open(Path(tmp_path / "run"))
    assert run.status == "stopped"
    rounds = len(run.result["rounds"])
    assert rounds >= 2
    finished = []
    with pytest.raises(KeyboardInterrupt):
        fedrobust.resume(run.path, stop_after(finished))
    assert finished[0].round == rounds + 1


def stop_after(finished):
    def listener(event):
        if isinstance(event, RoundFinished):
            finished.append(event.record)
            raise KeyboardInterrupt

    return listener
