"""The reference table: its cells, and that its page is written from the records and from nothing else."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedrobust.runs.record import RunRecord

HERE = Path(__file__).resolve().parents[2] / "experiments/reference"


@pytest.fixture(scope="module")
def reference():
    sys.path.insert(0, str(HERE))
    import cells
    import records
    import write

    yield SimpleNamespace(cells=cells, records=records, write=write)
    sys.path.remove(str(HERE))
    for name in ("cells", "records", "write"):
        sys.modules.pop(name, None)


def test_the_page_is_what_the_program_writes_from_the_records(reference):
    assert (HERE / "RESULTS.md").read_text(encoding="utf-8") == reference.write.page(
        reference.write.data_sets()
    ), "run python experiments/reference/write.py"


def test_every_cell_is_the_study_of_its_data_set_with_what_the_table_names_changed(reference):
    place = reference.cells.Place("pneumoniamnist", "Dirichlet 0.1", "head only", 2)
    study = reference.cells.experiment(place, HERE.parent)
    assert (study.data.name, study.data.partition, study.seed) == (
        "pneumoniamnist",
        "dirichlet(alpha=0.1)",
        2,
    )
    assert (study.training.layers, study.training.loss) == ("head", "cross-entropy")
    assert place.name == "pneumoniamnist/Dirichlet 0.1/head only/2"


def test_central_and_local_models_are_trained_once_each(reference):
    found = {
        (partition, method): reference.cells.experiment(
            reference.cells.Place("breastmnist", partition, method, 0), HERE.parent
        ).evaluation.baselines
        for partition in reference.cells.PARTITIONS
        for method in reference.cells.METHODS
    }
    assert {place for place, baselines in found.items() if "local" in baselines} == {
        (partition, "recipe") for partition in reference.cells.PARTITIONS
    }
    assert {place for place, baselines in found.items() if "central" in baselines} == {
        ("iid", method) for method in reference.cells.METHODS if method != "FedBN"
    }


def test_a_set_that_no_study_names_takes_the_recipe_of_another(reference, tmp_path):
    (tmp_path / "medmnist").mkdir()
    (tmp_path / "medmnist" / "bloodmnist.npz").touch()
    assert "bloodmnist" in set(reference.cells.data_sets(str(tmp_path)))
    place = reference.cells.Place("bloodmnist", "iid", "recipe", 0)
    study = reference.cells.experiment(place, HERE.parent)
    breast = reference.cells.experiment(reference.cells.Place("breastmnist", "iid", "recipe", 0), HERE.parent)
    assert (study.training, study.model) == (breast.training, breast.model)


RUN = {
    "schema": 2,
    "status": "finished",
    "dataset": {"labels": ["a", "b"]},
    "model-evaluation": {
        "clean": {"n": 10, "accuracy": 0.8, "balanced_accuracy": 0.7, "auc": 0.9, "majority_rate": 0.6}
    },
    "central": {"accuracy": 0.9, "balanced_accuracy": 0.8, "auc": 0.95},
    "rounds": [
        {"round": 1, "training-seconds": 2.0},
        {"round": 2, "training-seconds": 3.0, "worst-client": {"clean": {"client": 4, "accuracy": 0.5}}},
    ],
    "clients": {
        "clients": [
            {"client": 0, "local": {"accuracy": 0.4, "balanced_accuracy": 0.5, "auc": 0.6}},
            {"client": 1, "local": {"accuracy": 0.6, "balanced_accuracy": 0.5}},
        ],
        "worse": [1],
    },
    "seconds": 9.0,
}


@pytest.fixture
def kept(reference, tmp_path, monkeypatch):
    """Records of two seeds of one cell, in a folder of their own."""
    monkeypatch.setattr(reference.records, "RESULTS", tmp_path)
    for seed, accuracy in ((0, 0.8), (1, 0.84)):
        run = RunRecord.read(RUN)
        place = reference.cells.Place("breastmnist", "iid", "recipe", seed)
        record = reference.records.record(place, "hash", run)
        record["global"]["accuracy"] = accuracy
        held = reference.records.read("breastmnist")
        (tmp_path / "breastmnist.json").write_text(json.dumps([*held, record]))
    return reference.records.read("breastmnist")


def test_a_record_keeps_the_scores_of_every_model(kept):
    one = kept[0]
    assert (one["local"], one["worse"], one["personal"]) == (
        {"accuracy": 0.5, "balanced_accuracy": 0.5, "auc": 0.6},
        1,
        None,
    )
    assert (one["worst-client"], one["training-seconds"], one["images"]) == (0.5, 5.0, 10)


def test_rows_are_means_over_seeds_with_students_interval_beside_the_constant(reference, kept):
    """Accuracies .80 and .84: mean .82, deviation .0283, t = 12.706 with one degree of freedom: .254, cut at 1."""
    lines = reference.write.table("breastmnist").splitlines()
    assert lines[2].startswith("| constant classifier (n = 10) | .600 | .500 | .500 |")
    row = next(line for line in lines if line.startswith("| iid, recipe |"))
    assert row == "| iid, recipe | .820 (.566 to 1.000) | .700 (.000) | .900 (.000) | .500 (.000) | 5 | 2 |"
    assert any(line.startswith("| iid, local models | .500 (.000) |") for line in lines)
    assert any(line.startswith("| central, recipe | .900 (.000) |") for line in lines)
    assert not any("FedBN" in line for line in lines), "cells without records have no row"


def test_an_interval_that_reaches_beyond_a_share_is_written_as_its_limits(reference):
    """By hand: of two seeds half the interval is 12.706 / 2 times their difference."""
    shown = [
        reference.write._spread(values) for values in ((0.50, 0.51), (0.45, 0.67), (0.9, 0.91, 1.0), (0.5,))
    ]
    assert shown == [".505 (.064)", ".560 (.000 to 1.000)", ".937 (.800 to 1.000)", ".500"]
