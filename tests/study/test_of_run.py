"""A run's own data are those that it ran on, not what its file holds by now."""

import json

import numpy as np
import pytest

import fedrobust
from fedrobust.api.leakage import study_of
from fedrobust.api.model_request import data_of
from fedrobust.config import ConfigError, Experiment
from fedrobust.prediction.under_noise import under_noise
from fedrobust.runs.run import Run
from fedrobust.study.of_run import study_of_run


def saved(file, bright):
    """Write a small data set."""
    images, labels = np.full((8, 28, 28), bright, np.uint8), np.arange(8, dtype=np.uint8) % 2
    parts = {f"{name}_images": images + labels[:, None, None] for name in ("train", "val", "test")}
    np.savez(file, **parts, **{f"{name}_labels": labels for name in ("train", "val", "test")})
    return str(file)


@pytest.fixture
def run(tmp_path):
    """A run's folder, on a file that is not changed yet."""
    file, folder = saved(tmp_path / "mine.npz", 10), tmp_path / "run"
    folder.mkdir()
    study = Experiment.of(data__name=file)
    (folder / "experiment.toml").write_text(study.to_toml())
    dataset = fedrobust.load_dataset(file)
    result = {
        "schema": 2, "status": "finished", "rounds": [], "experiment": study.to_dict(), "student": None, "export": [],
        "error": None, "name": "study", "dataset": {"digest": dataset.digest},
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    return Run.open(folder)


def test_the_same_images_are_the_runs(run):
    assert study_of_run(run).dataset.digest == run.record.dataset.digest
    assert data_of(run.path, "", "").digest == run.record.dataset.digest


def test_a_changed_file_is_refused_with_both_digests_until_it_is_named(run):
    before = run.record.dataset.digest
    file = saved(run.path.parent / "mine.npz", 90)
    now = fedrobust.load_dataset(file).digest
    message = (
        f"{run.path}: the run's data changed: mine ({file}) has digest {now[:12]}, the run was on {before[:12]}. Put "
        "the run's images back, or run the study again"
    )
    with pytest.raises(ConfigError) as refused:
        study_of_run(run)
    assert str(refused.value) == message
    with pytest.raises(ConfigError) as refused:
        data_of(run.path, "", "")
    assert str(refused.value).startswith(message + "; or name the present ones with --data")
    assert data_of(run.path, file, "").digest == now


def test_privacy_and_certificates_of_training_are_of_the_runs_images(run):
    saved(run.path.parent / "mine.npz", 90)
    with pytest.raises(ConfigError, match="the run's data changed"):
        study_of(run)


def test_statistics_under_noise_are_of_the_runs_images(run, monkeypatch):
    saved(run.path.parent / "mine.npz", 90)
    monkeypatch.setattr(Run, "model", lambda self: None)
    with pytest.raises(ConfigError, match="the run's data changed"):
        under_noise(run, 0.1)


def test_a_run_that_recorded_no_digest_is_taken_at_its_word(run):
    result = json.loads((run.path / "result.json").read_text())
    (run.path / "result.json").write_text(json.dumps({**result, "dataset": {}}))
    saved(run.path.parent / "mine.npz", 90)
    assert study_of_run(Run.open(run.path)).dataset.name == "mine"
