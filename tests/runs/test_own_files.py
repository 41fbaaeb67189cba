"""A run folder finds the files that its study names relative to itself, and repeats the study."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fedrobust.api.model_request import data_of
from fedrobust.config import Experiment
from fedrobust.data.dataset import DataError
from fedrobust.runs.folder import RunFolder
from fedrobust.study import Study

RESULT = {"schema": 1, "status": "finished", "experiment": {}, "student": None, "export": [], "rounds": []}


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """Return the folder of a run whose study lies elsewhere, with its images, and whose process ran elsewhere."""
    for name in ("study", "elsewhere", "run"):
        (tmp_path / name).mkdir()
    images, labels = np.arange(40 * 28 * 28).reshape(40, 28, 28).astype(np.uint8), np.arange(40) % 2
    kinds = {"images": images, "labels": labels}
    arrays = {f"{split}_{kind}": array for split in ("train", "val", "test") for kind, array in kinds.items()}
    np.savez(tmp_path / "study" / "own.npz", **arrays)
    (tmp_path / "study" / "mine.toml").write_text('[data]\nname = "own.npz"\n')
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = RunFolder(tmp_path / "run")
    folder.write_study(Experiment.load("../study/mine.toml", output__dir=str(folder.path)))
    folder.write_json("result.json", RESULT)
    return folder.path


def test_its_images_are_found_from_any_folder(run):
    assert data_of(run, "", "").train.images.shape == (40, 28, 28, 1)


def test_a_run_folder_that_is_moved_finds_them_too(run, tmp_path):
    moved = shutil.move(run, tmp_path / "archive")
    assert data_of(moved, "", "").train.images.shape == (40, 28, 28, 1)
    shutil.move(tmp_path / "study", tmp_path / "renamed")
    with pytest.raises(DataError, match=r"own\.npz: no such file; searched .*archive"):
        data_of(moved, "", "")
    shutil.copy(tmp_path / "renamed" / "own.npz", moved)
    assert data_of(moved, "", "").train.images.shape == (40, 28, 28, 1)


def test_its_study_file_is_run_again_in_a_folder_of_its_own(run):
    again = Experiment.load(run / "experiment.toml")
    assert (again.output.dir, again.output.resume) == ("", False)
    assert Study(again).dataset.train.images.shape == (40, 28, 28, 1)


def test_a_study_from_python_begins_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path)
    folder.write_study(Experiment.of())
    assert json.loads(folder.file("base.json").read_text()) == {"folder": str(tmp_path)}
