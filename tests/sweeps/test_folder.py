"""Where a sweep's folder is, if no other is asked for."""

from pathlib import Path

import pytest

import fedrobust
from fedrobust.config import ConfigError
from fedrobust.sweeps.folder import folder_of
from fedrobust.sweeps.sweep import Sweep


def test_a_sweep_is_below_the_folder_of_run_folders_if_no_other_is_given():
    sweep = Sweep.of("rules", {"seed": [0, 1], "output.root": "~/mine"})
    assert folder_of(sweep) == Path.home() / "mine" / "rules-sweep"
    assert folder_of(sweep, "there") == Path("there")
    assert folder_of(Sweep.of("rules", {"seed": [0, 1]}), ending="seeds") == Path("runs/rules-seeds")


def test_two_folders_of_run_folders_are_refused():
    together = [{"seed": 0, "output.root": "a"}, {"seed": 1, "output.root": "b"}]
    sweep = Sweep.of("rules", {}, together=together)
    with pytest.raises(ConfigError, match=r"output.root = \['a', 'b'\]: a sweep has one folder"):
        folder_of(sweep)
    assert folder_of(sweep, "there") == Path("there")


def test_bench_and_run_with_seeds_use_it(tmp_path, monkeypatch):
    found = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "fedrobust.api.sweeps.run_cells", lambda sweep, folder, *_, **__: found.append(folder)
    )
    (tmp_path / "small.toml").write_text('name = "small"\nseed = [0, 1]\n[output]\nroot = "mine"\n')
    fedrobust.bench("small.toml")
    fedrobust.bench("small.toml", overrides=["output.root=other"])
    fedrobust.run_seeds(None, 2, name="one", output__root="mine")
    assert found == [Path("mine/small-sweep"), Path("other/small-sweep"), Path("mine/one-seeds")]
