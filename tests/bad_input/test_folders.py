"""Run folders that cannot be used: another's, older, newer, damaged, full, and checkpoints that are none."""

import errno
import json
import os

import pytest
from PIL import Image

from fedrobust.config import Experiment


@pytest.fixture
def stopped(tmp_path):
    """The folder of a stopped run without checkpoints."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    study = Experiment.quickstart()
    (folder / "experiment.toml").write_text(study.to_toml())
    result = {
        "schema": 2, "status": "stopped", "rounds": [], "experiment": study.to_dict(), "student": None, "export": [],
        "error": "stopped after 0 of 5 rounds", "name": "study",
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", b"\xff\xfe", "result.json"),
        ("result.json", b'{"schema": 99}', "schema = 99"),
        ("result.json", b"[" * 10**5, "damaged"),
        ("result.json", b'{"schema": 2, "status": 3}', "damaged"),
        ("experiment.toml", b"", "experiment.toml"),
        ("experiment.toml", b"\xff", "experiment.toml"),
        ("experiment.toml", b"[federation]\nclients = 0\n", "experiment.toml"),
    ],
)
@pytest.mark.parametrize("words", [["report"], ["run", "--resume"]])
def test_files_of_a_run_that_are_damaged(refused, stopped, words, name, content, message):
    (stopped / name).write_bytes(content)
    if name == "experiment.toml":
        (stopped / "result.json").unlink()
        message = "run"
    refused(*words, stopped, message=message)


@pytest.mark.parametrize(
    "words",
    [
        ["attack"],
        ["audit"],
        ["export"],
        ["detect"],
        ["certify"],
        ["predict"],
        ["report"],
        ["compare"],
        ["figures"],
        ["leakage"],
        ["certify-training"],
        ["bench", "--leaderboard"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("mistyped", "nearest"),
    [
        ("runs/quikstart", "quickstart-20260102-101010"),
        ("runs/quickstart", "quickstart-20260102-101010"),
        ("runs/quickstart-20260101", "quickstart-20260101-101010"),
        ("rnus/quickstart", "runs"),
    ],
)
def test_a_mistyped_folder_of_a_run_is_not_there(refused, tmp_path, words, mistyped, nearest):
    for run in ("quickstart-20260101-101010", "quickstart-20260102-101010"):
        (tmp_path / "runs" / run).mkdir(parents=True)
    Image.new("L", (28, 28)).save(tmp_path / "scan.png")
    missing = f"there is no folder {tmp_path / 'rnus'}" if mistyped.startswith("rnus") else "there is no such"
    said = refused(*words, mistyped, *(["scan.png"] if words == ["predict"] else []), message=missing)
    assert f'did you mean "{nearest}"?' in said


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (None, "it has no checkpoint; start the study anew"),
        (b"", "none of its checkpoints can be used"),
        (b"PK\x03\x04" + bytes(5000), "none of its checkpoints can be used"),
    ],
)
def test_checkpoints_that_are_none(command, stopped, checkpoint, message):
    """`experiments/reliability/checkpoints.py` damages whole ones in every region."""
    if checkpoint is not None:
        (stopped / "checkpoints" / "round-000001.npz").write_bytes(checkpoint)
    done = command("run", "--resume", stopped)
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    assert message in lines[-1]
    assert len(lines) == 1 + (checkpoint is not None), "a notice of what cannot be used, and the error"


def test_somebody_elses_folder_is_left_alone(refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "result.json").write_text('{"schema": 2}')
    refused("run", "quickstart", "--out", "mine", message="the folder is not empty")
    refused("run", "--resume", "mine", message="not a run folder")
    refused("report", "mine", message="not a run folder")


def test_a_full_disk_is_told_and_leaves_no_temporary_file(command, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    done = command("init", "study.toml")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_that_a_first_study_names_can_be_pasted(command):
    done = command("init", "my study.toml")
    assert done.stdout.strip().endswith("run it with: fedrobust run 'my study.toml'")
