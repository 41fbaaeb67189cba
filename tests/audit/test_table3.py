"""The collapse check, fed with nothing but the counts of the paper's tables."""

import importlib.util
from pathlib import Path

import pytest

PAPER = Path(__file__).resolve().parents[2] / "experiments/paper/collapse.py"


@pytest.fixture(scope="module")
def rows():
    spec = importlib.util.spec_from_file_location("collapse", PAPER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {(row["dataset"], row["model"], row["defence"]): row["marks"] for row in module.marked()}


def test_twenty_six_of_forty_defended_cells_may_be_a_constants(rows):
    defended = [mark for (*_, defence), marks in rows.items() if defence != "none" for mark in marks[1:]]
    assert (sum(defended), len(defended)) == (26, 40)


@pytest.mark.parametrize("dataset", ["BreastMNIST", "DermaMNIST"])
def test_mobilenets_adversarial_training_is_marked_at_every_epsilon(rows, dataset):
    assert all(rows[dataset, "MobileNetV2", "adversarial training"])


def test_dermas_distillation_is_marked_where_it_does_not_fall(rows):
    assert rows["DermaMNIST", "DenseNet121", "distillation"] == [False, False, True, True, True, True]


def test_what_looks_genuine_is_not_marked(rows):
    assert not any(rows["PneumoniaMNIST", "ResNet50", "none"])
    assert not any(rows["PneumoniaMNIST", "ResNet50", "adversarial training"])
    assert not any(rows["PneumoniaMNIST", "DenseNet121", "none"][:4])
