"""What attacks cost against the same study without them, and rules against the mean."""

import pytest

from fedrobust.sweeps.controls import with_controls
from fedrobust.sweeps.notes import apart, outlasted, rejected
from fedrobust.sweeps.row import Row


def row(score, attack="none", rule="mean", seed=0, status="finished", tolerate=None, before=(), **figures):
    malicious = 0 if attack == "none" else 2
    experiment = {
        "name": "x",
        "seed": seed,
        "federation": {"aggregator": rule, "pre-aggregators": list(before), "rounds": 3},
        "poisoning": {"attack": attack, "malicious": malicious},
        "engine": {"workers": malicious},
    }
    if tolerate is not None:
        experiment["federation"]["tolerate"] = tolerate
    return Row("h", status, {}, experiment, {"balanced_accuracy": score, **figures}, "", "", "")


def told(rows, name):
    return [one.figures.get(f"{name} balanced_accuracy") for one in with_controls(rows)]


def test_harm_is_what_is_lost_against_the_same_rule_and_seed_without_the_attack():
    rows = [
        row(0.9),
        row(0.6, "ipm"),
        row(0.8, seed=1),
        row(0.7, "ipm", seed=1),
        row(0.85, rule="median"),
        row(0.86, "ipm", rule="median"),
    ]
    assert told(rows, "harm") == pytest.approx([None, 0.3, None, 0.1, None, -0.01])


def test_cost_is_what_a_rule_loses_against_the_mean_without_an_attack():
    rows = [row(0.9), row(0.85, rule="median"), row(0.8, before=["nnm"]), row(0.5, "ipm", rule="median")]
    assert told(rows, "cost") == pytest.approx([None, 0.05, 0.1, None])


def test_there_is_none_without_a_control_or_a_result():
    assert told([row(0.6, "ipm"), row(0.9, seed=1)], "harm") == [None, None]
    assert told([row(0.9, status="failed"), row(0.6, "ipm")], "harm") == [None, None]
    assert told([row(0.9), row(0.6, "ipm", status="invalid")], "harm") == [None, None]
    assert told([row(0.85, rule="median")], "cost") == [None]


def test_a_control_tolerates_as_many_clients():
    rows = [
        row(0.9, rule="krum", tolerate=1),
        row(0.8, rule="krum", tolerate=2),
        row(0.5, "ipm", rule="krum", tolerated=2.0),
        row(0.5, "alie", rule="krum", tolerated=3.0),
    ]
    assert told(rows, "harm") == pytest.approx([None, None, 0.3, None])


def test_notes_in_words():
    rows = with_controls([row(0.9), row(0.6, "ipm"), row(0.95, rule="median")])
    assert [apart([one]) for one in rows] == ["", "harm +30.0", "cost -5.0"]
    both = {"false-positive-rate": 0.25, "rare-false-positive-rate": 1.0}
    assert rejected([row(0.9, **both)]) == "honest 25%, unusual 100%"
    assert rejected([row(0.9)]) == ""
    cells = [row(0.9, **{"durability censored": censored}) for censored in (1.0, 0.0, 1.0)]
    assert outlasted(cells) == "at least, in 2 of 3"
    assert outlasted(cells[1:2]) == ""
