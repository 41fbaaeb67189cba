"""The comparison of federated adversarial training: its methods are its cells, its table is that of its results."""

import sys
from pathlib import Path

import pytest

from fedrobust.sweeps.sweep import Sweep

HERE = Path(__file__).resolve().parents[2] / "experiments/federated_adversarial_training"


@pytest.fixture(scope="module")
def program():
    sys.path.insert(0, str(HERE))
    import run

    yield run
    sys.path.remove(str(HERE))
    sys.modules.pop("run", None)


def test_every_cell_is_a_method_and_every_method_a_cell_of_every_seed(program):
    cells = Sweep.load(HERE / "federated-adversarial-training.toml").cells
    found = [(program.method_of(cell.experiment), cell.experiment.seed) for cell in cells]
    assert sorted(found) == sorted((name, seed) for name in program.METHODS for seed in (0, 1, 2))
    assert set(program.CONTROLS) | set(program.CONTROLS.values()) <= set(program.METHODS)


def test_the_table_is_that_of_the_results(program):
    results = program.read()
    assert {(one["method"], one["seed"]) for one in results} >= {
        (name, seed) for name in program.METHODS for seed in (0, 1, 2)
    }
    assert program.table(results) in (HERE / "README.md").read_text(encoding="utf-8")


def test_differences_are_paired_by_seed(program):
    own = {0: {"clean": 0.9}, 1: {"clean": 0.4}, 2: {"clean": 0.6}}
    assert program.difference(own, {2: {"clean": 0.5}, 0: {"clean": 0.8}, 1: {"clean": 0.3}}, "clean") == (
        "+10.0 (+10.0 to +10.0)"
    )
    assert program.difference(own, {5: {"clean": 0.5}}, "clean") == "–"
