"""Successive halving: who goes on, and that nothing is run twice."""

from dataclasses import replace

import numpy as np
import pytest

import fedrobust
from fedrobust.config import ConfigError, Experiment
from fedrobust.evaluation.metrics import measure
from fedrobust.runs.record import MetricsRecord, RoundRecord, RunRecord
from fedrobust.runs.run import Run
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.events import CellDropped, CellFinished, CellPaused, CellStarted
from fedrobust.sweeps.halving import Halving, score_after
from fedrobust.sweeps.page import render
from fedrobust.sweeps.sweep import Sweep


def cell(rate, seed=0, attack="none"):
    study = Experiment.of(
        seed=seed,
        data__samples=150,
        training__learning_rate=rate,
        federation__clients=4,
        poisoning__attack=attack,
        poisoning__malicious=0 if attack == "none" else 1,
    )
    return Cell({"training.learning-rate": rate, "seed": seed, "poisoning.attack": attack}, study)


def kept(cells, scores, keep=0.5):
    by_cell = {one.hash: score for one, score in zip(cells, scores, strict=True)}
    on, dropped = Halving((1,), keep=keep).survivors(cells, lambda one: by_cell[one.hash])
    assert {one.hash for one in on}.isdisjoint(dropped)
    return [one.settings["training.learning-rate"] for one in on], dropped


def test_the_better_half_goes_on_and_ties_keep_their_order():
    cells = [cell(rate) for rate in (0.1, 0.2, 0.3, 0.4, 0.5)]
    on, dropped = kept(cells, [0.5, 0.9, 0.7, 0.7, 0.1])
    assert on == [0.2, 0.3, 0.4], "half of five, rounded up"
    assert dropped[cells[0].hash] == "balanced accuracy 0.500 on validation images, place 4 of 5; 3 went on"
    assert kept(cells, [0.5] * 5, keep=0.2)[0] == [0.1]
    assert kept(cells, [0.1, 0.2, 0.3, 0.4, 0.5], keep=0.01)[0] == [0.5], "one goes on, whatever is kept"


def test_seeds_of_a_candidate_are_judged_together():
    cells = [cell(rate, seed) for rate in (0.1, 0.2) for seed in (0, 1)]
    # 0.1: 0.9 and 0.1, mean 0.5; 0.2: 0.6 and 0.6.
    assert kept(cells, [0.9, 0.1, 0.6, 0.6])[0] == [0.2, 0.2]


def test_candidates_are_compared_under_the_same_attack():
    cells = [cell(rate, attack=attack) for attack in ("none", "ipm") for rate in (0.1, 0.2)]
    assert kept(cells, [0.9, 0.8, 0.3, 0.4])[0] == [0.1, 0.2]


def test_a_cell_without_a_score_does_not_go_on_and_is_not_said_to_be_worse():
    cells = [cell(rate) for rate in (0.1, 0.2, 0.3)]
    on, dropped = kept(cells, [None, 0.1, 0.2])
    assert on == [0.2, 0.3]
    assert dropped == {}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "rounds"),
        ({"rounds": [4, 2]}, "ascending"),
        ({"rounds": [2, 2]}, "ascending"),
        ({"rounds": [0]}, "from 1"),
        ({"rounds": [True]}, "from 1"),
        ({"rounds": 2}, "from 1"),
        ({"rounds": [2], "keep": 1.0}, "below 1"),
        ({"rounds": [2], "keep": "half"}, "below 1"),
        ({"rounds": [2], "metric": "aux"}, "auc"),
        ({"rounds": [2], "metric": "attack-success"}, "validation split"),
        ({"rounds": [2], "often": 3}, "keys rounds"),
        ([2], "keys rounds"),
    ],
)
def test_a_wrong_table_is_refused(table, words):
    with pytest.raises(ConfigError, match=words):
        Halving.of(table)


FILE = """
name = "halved"
[sweep.halving]
metric = "auc"
rounds = [1, 2]
[data]
samples = 150
[model]
name = "edge-cnn(width=8)"
image-size = 28
[federation]
clients = 4
rounds = 3
[training]
learning-rate = [0.001, 0.01, 0.05, 3.0]
[evaluation]
validation = true
attacks = []
examples = 0
[audit]
enabled = false
[distillation]
enabled = false
[export]
enabled = false
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("validation = true", "", "evaluation.validation = true"),
        ("rounds = [1, 2]", "rounds = [3]", "or the last"),
        ("validation = true", "validation = true\nevery = 2", "multiples of evaluation.every = 2"),
    ],
)
def test_rounds_that_are_not_measured_are_refused_before_anything_runs(tmp_path, old, new, words):
    path = tmp_path / "halved.toml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        Sweep.load(path)


@pytest.mark.slow
def test_a_halved_sweep_runs_each_round_once_and_ends_as_the_whole_study_does(tmp_path):
    path = tmp_path / "halved.toml"
    path.write_text(FILE)
    heard = []
    results = fedrobust.bench(path, heard.append, out=tmp_path / "out", workers=1)
    rows = results.rows()
    assert sorted(row.status for row in rows) == ["dropped", "dropped", "dropped", "finished"]
    assert len([event for event in heard if isinstance(event, CellPaused)]) == 4 + 2
    assert len([event for event in heard if isinstance(event, CellDropped)]) == 2 + 1
    assert len([event for event in heard if isinstance(event, CellFinished)]) == 1
    (done,) = [row for row in rows if row.status == "finished"]
    run = Run.open(results.folder / done.folder).record
    assert run.resumed_after == (1, 2)
    assert [one.round for one in run.rounds] == [1, 2, 3]
    dropped = [row for row in rows if row.status == "dropped"]
    assert all("stopped early, after round" in row.error and not row.figures for row in dropped)
    page = render(rows, "halved")
    assert page.count("stopped early, after round") >= 3
    # The best after each round, by the record's own validation figures.
    first = {row.hash: Run.open(results.folder / row.folder).record.rounds[0].validation.auc for row in rows}
    best = sorted(first, key=first.get)[-2:]
    assert done.hash in best
    # The same bits as without halving, and nothing is run again.
    settings = {key.replace(".", "__").replace("-", "_"): value for key, value in done.settings.items()}
    whole = fedrobust.run(
        Sweep.load(path).cells[0].experiment.changed(engine__workers=1, **settings), out=tmp_path / "alone"
    )
    assert whole.record.model.digest == run.model.digest
    again = []
    fedrobust.bench(path, again.append, out=tmp_path / "out", workers=1)
    assert not [event for event in again if isinstance(event, CellStarted)]
    assert sorted(row.status for row in results.rows()) == ["dropped", "dropped", "dropped", "finished"]


def validated(right):
    """Return the record of ten images of which so many are right."""
    logits = np.eye(2)[(np.arange(10) < right).astype(int)]
    return MetricsRecord.of(measure(np.ones(10, int), logits))


def test_settings_of_the_defence_compete_and_a_run_that_stopped_early_has_its_last_score():
    cells = [
        Cell({"federation.tolerate": f}, Experiment.of(federation__clients=10, federation__tolerate=f))
        for f in (1, 2, 3, 4)
    ]
    by_hash = {one.hash: one.settings["federation.tolerate"] / 10 for one in cells}
    on, dropped = Halving((1,), keep=0.5).survivors(cells, lambda one: by_hash[one.hash])
    assert [one.settings["federation.tolerate"] for one in on] == [3, 4]
    assert len(dropped) == 2
    rounds = tuple(RoundRecord(round=number, validation=validated(number)) for number in (1, 2, 3))
    finished = RunRecord(status="finished", rounds=rounds)
    assert score_after(finished, 8, "accuracy") == 0.3
    assert score_after(finished, 2, "accuracy") == 0.2
    assert score_after(replace(finished, status="running"), 8, "accuracy") is None
