"""Sweeps and comparisons for other programs: JSON, or nothing but paths."""

import json

import pytest
from typer.testing import CliRunner

from fedrobust import api, cli
from fedrobust.config import Experiment
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import MetricsRecord, ModelEvaluationRecord, RunRecord
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.events import CellFinished, CellMissing, SweepFinished, SweepStarted

CELL = Cell({"seed": 1}, Experiment.of(seed=1, data__samples=50))


def invoke(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture
def bench(monkeypatch):
    """Let `bench` emit the events of two cells, of which the second ends as it is told."""

    def made(*events):
        def ran(sweep, listener, **settings):
            for event in (
                SweepStarted("s", "runs/s", 2, 0, 1),
                CellFinished(CELL, "accuracy 90.0%", 2.0),
                *events,
                SweepFinished(0, 0, "runs/s/sweep.html"),
            ):
                listener(event)

        monkeypatch.setattr(api, "bench", ran)

    return made


def test_json_is_a_line_an_event(bench):
    bench()
    done = invoke("bench", "sweep", "--json")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["sweep-started", "cell-finished", "sweep-finished"]
    assert lines[1]["cell"] == {"settings": {"seed": 1}, "hash": CELL.hash}
    assert lines[2]["page"] == "runs/s/sweep.html"


def test_quiet_is_the_path_of_the_page(bench):
    bench()
    assert invoke("bench", "sweep", "--quiet").stdout == "runs/s/sweep.html\n"
    assert invoke("bench", "sweep", "-q", "--json").exit_code == 2


@pytest.mark.parametrize("event", [CellFinished(CELL, "", 1.0, "no memory"), CellMissing(CELL, "no data")])
@pytest.mark.parametrize("how", ["--quiet", "--json"])
def test_a_cell_that_failed_or_is_missing_is_the_exit_code(bench, event, how):
    bench(event)
    assert invoke("bench", "sweep", how).exit_code == 1


@pytest.fixture
def runs(tmp_path):
    for seed, accuracy in ((0, 0.8), (1, 0.9)):
        folder = RunFolder.create("r", "", str(tmp_path / str(seed)))
        experiment = Experiment.of(seed=seed)
        folder.write_text("experiment.toml", experiment.to_toml())
        evaluation = ModelEvaluationRecord(clean=MetricsRecord(n=10, accuracy=accuracy))
        record = RunRecord(
            status="finished", name="r", experiment=experiment.to_dict(), model_evaluation=evaluation
        )
        folder.write_json("result.json", record.to_json())
    return [tmp_path / "0", tmp_path / "1"]


def test_a_comparison_as_json_has_an_object_a_run_or_a_mean(runs):
    first, second = json.loads(invoke("compare", *runs, "--json").stdout)
    assert (first["run"], first["accuracy"]) == ("0", 0.8)
    assert (second["run"], second["accuracy"]) == ("1", 0.9)
    assert "auc" not in first
    (mean,) = json.loads(invoke("compare", *runs, "--over-seeds", "--json").stdout)
    assert mean["seeds"] == 2
    assert mean["accuracy"] == pytest.approx(0.85)


def test_a_quiet_comparison_is_the_paths_of_its_files(runs, tmp_path):
    done = invoke("compare", *runs, "-q", "--csv", tmp_path / "a.csv", "--tidy", tmp_path / "b.csv")
    assert done.stdout == f"{tmp_path / 'a.csv'}\n{tmp_path / 'b.csv'}\n"
