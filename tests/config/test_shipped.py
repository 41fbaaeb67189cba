"""The studies that come with the package, by name."""

import tomllib
from pathlib import Path

import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.config.shipped import shipped, study_path
from fedrobust.data.dataset import DataError
from fedrobust.data.search_path import weights_file
from fedrobust.sweeps.sweep import Sweep

PROJECT = Path(__file__).resolve().parents[2]
SWEEPS = {"poisoning", "sweep", "which-defence"}


def test_every_study_of_the_repository_comes_with_the_wheel():
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    expected = {
        f"experiments/{path.name}": f"fedrobust/_studies/{path.name}"
        for path in (PROJECT / "experiments").glob("*.toml")
    }
    assert {key: value for key, value in included.items() if key.endswith(".toml")} == expected
    assert set(shipped()) == {Path(name).stem for name in expected}


@pytest.mark.parametrize("name", sorted(set(shipped()) - SWEEPS))
def test_a_shipped_study_is_loaded_by_its_name_in_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Experiment.load(name).name == name
    assert Experiment.load(name, seed=7).seed == 7


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_shipped_sweep_too(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(Sweep.load(name).cells) > 1


def test_a_file_of_the_user_s_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("breast").write_text('name = "mine"')
    assert Experiment.load("breast").name == "mine"
    assert study_path(tmp_path / "breast.toml") == tmp_path / "breast.toml"


def test_what_there_is_is_said_where_there_is_no_such_file():
    with pytest.raises(
        ConfigError, match=r"^braest: cannot be read: No such file.*shipped studies: breast, demo, derma"
    ):
        Experiment.load("braest")


def test_weights_of_imagenet_are_looked_for_before_they_are_downloaded(tmp_path):
    (tmp_path / "weights").mkdir()
    for name in ("mobilenet_v2", "resnet50"):
        (tmp_path / f"weights/{name}_imagenet_notop.weights.h5").touch()
    found = tmp_path / "weights/mobilenet_v2_imagenet_notop.weights.h5"
    assert weights_file("MobileNetV2", "imagenet", tmp_path) == found
    assert weights_file("resnet50", "imagenet", None, tmp_path).name == "resnet50_imagenet_notop.weights.h5"
    assert weights_file("densenet121", "imagenet", tmp_path) is None
    assert weights_file("mobilenetv2", "random", tmp_path) is None
    with pytest.raises(DataError, match=r"mine\.h5: no such file"):
        weights_file("mobilenetv2", "mine.h5", tmp_path)
