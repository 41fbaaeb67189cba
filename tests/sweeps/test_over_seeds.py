"""Means over seeds as tables, in LaTeX and as one value a row, and studies with several seeds."""

import io
import json
import re

import pandas
import pytest
from rich.console import Console
from scipy import stats

import fedrobust
from fedrobust.api import sweeps as api
from fedrobust.cli import app
from fedrobust.cli.new_file import check_table_file, write_table
from fedrobust.config import ConfigError, Experiment
from fedrobust.paths import PathError
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.over_seeds import is_cut, latex, metrics_of, over_seeds, range_of, repeated
from fedrobust.sweeps.results import Results
from fedrobust.sweeps.seeds import seeds_of
from fedrobust.sweeps.source import SweepSource
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.means import means
from fedrobust.terminal.sweep import comparison

ACCURACY = {("mean", 0): 0.5, ("mean", 1): 0.6, ("mean", 2): 0.7, ("median", 0): 0.8, ("median", 1): 0.9}
AXES = {"seed": [0, 1, 2], "federation.aggregator": ["mean", "median"], "data.samples": 50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The results of a sweep of two rules and three seeds, one of which failed with one rule."""
    folder = tmp_path_factory.mktemp("sweep")
    cells = Sweep.of("rules", AXES).cells
    results = Results.create(folder)
    results.begin(cells)
    for place, cell in enumerate(cells):
        accuracy = ACCURACY.get((cell.settings["federation.aggregator"], cell.settings["seed"]))
        clean = {"accuracy": accuracy, "auc": accuracy, "n": 50}
        rounds = [{"round": 1, "clean": clean, "seconds": 2.0}]
        record = {"schema": 1, "status": "finished", "rounds": rounds, "model-evaluation": {"clean": clean}}
        run = RunRecord.read({**record, "experiment": cell.experiment.to_dict()}) if accuracy else None
        results.add(cell, place, run, "" if accuracy else "out of memory")
    return folder


def test_a_row_is_a_combination_with_mean_interval_and_number_of_seeds(folder):
    table = fedrobust.over_seeds([folder]).set_index("federation.aggregator")
    assert table["seeds"].to_dict() == {"mean": 3, "median": 2}
    assert table["accuracy"].to_dict() == pytest.approx({"mean": 0.6, "median": 0.85})
    low, high = stats.t.interval(0.95, 2, loc=0.6, scale=0.1 / 3**0.5)
    assert table.loc["mean", ["accuracy low", "accuracy high"]].tolist() == pytest.approx([low, high])
    assert set(table.columns) >= {"auc", "auc low", "auc high"}
    assert not {"seed", "status"} & set(table.columns)


def test_runs_of_no_sweep_are_grouped_by_all_settings_but_the_seed(folder):
    one = fedrobust.compare([folder])
    one.attrs |= {"settings": ["seed", "federation.aggregator"], "cells": False}
    assert over_seeds(one)["seeds"].tolist() == [3, 2]


def test_a_folder_that_is_named_twice_counts_once(folder):
    table = fedrobust.over_seeds([folder, f"{folder}/../{folder.name}"])
    pandas.testing.assert_frame_equal(table, fedrobust.over_seeds([folder]))


def written_run(folder, accuracy, seed=0):
    """A finished run of the quickstart's study, without training."""
    folder.mkdir()
    run = RunFolder(folder)
    run.write_study(Experiment.of(seed=seed, data__samples=50))
    clean = {"accuracy": accuracy, "auc": accuracy, "n": 50}
    rounds = [{"round": 1, "clean": clean, "seconds": 2.0}]
    record = {"schema": 1, "status": "finished", "rounds": rounds, "model-evaluation": {"clean": clean}}
    record |= {
        "experiment": Experiment.of(seed=seed, data__samples=50).to_dict(),
        "student": None,
        "export": [],
    }
    run.write_text("result.json", json.dumps(record))
    return folder


def test_runs_of_one_seed_are_not_several_seeds(tmp_path, capsys):
    first, again = written_run(tmp_path / "first", 0.5), written_run(tmp_path / "again", 0.7)
    other = written_run(tmp_path / "other", 0.9, seed=1)
    table = fedrobust.over_seeds([first, again])
    assert table["seeds"].tolist() == [1]
    assert table["accuracy"].tolist() == [0.5]
    assert table["accuracy low"].isna().all()
    assert fedrobust.latex_table([first, again]).startswith("% Mean over 1 seed,")
    three = fedrobust.over_seeds([first, again, other])
    assert (three["seeds"].tolist(), three["accuracy"].tolist()) == ([2], pytest.approx([0.7]))
    assert three.attrs["repeated"] == repeated(fedrobust.compare([first, again, other])) == ["again"]
    with pytest.raises(SystemExit):
        app(["compare", str(first), str(again), str(other), "--over-seeds"])
    assert "repeat the seed of a run with the same settings: again." in " ".join(
        capsys.readouterr().out.split()
    )
    assert fedrobust.latex_table([first, again, other]).startswith("% Mean over 2 seeds")
    assert "% Not counted" in fedrobust.latex_table([first, again, other])
    assert "Not counted" in fedrobust.markdown_table([first, again, other])


def test_latex_has_a_line_for_each_combination_and_escapes_names(folder):
    lines = fedrobust.latex_table([folder]).splitlines()
    half = stats.t.ppf(0.975, 2) * 10 / 3**0.5
    assert lines[1:4] == [
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"aggregator & $n$ & Accuracy (\%) & AUC \\",
    ]
    assert lines[5] == rf"mean & 3 & $60.0 \pm {half:.1f}$ & $0.600 \pm {half / 100:.3f}$ \\"
    assert lines[-1] == r"\end{tabular}"
    summary = fedrobust.over_seeds([folder])
    summary["federation.aggregator"] = ["my_rule:A&B", "median"]
    summary["seeds"] = 3
    text = latex(summary, ["accuracy"])
    assert r"my\_rule:A\&B & $60.0" in text
    assert text.startswith("% Mean over 3 seeds, and half the width")
    empty = summary.copy()
    empty.attrs["figures"] = []
    with pytest.raises(ConfigError, match="no run is finished"):
        latex(empty)
    summary["accuracy"] = float("nan")
    assert r"median & -- \\" in latex(summary, ["accuracy"])


def test_a_metric_that_nothing_has_is_refused(folder):
    summary = fedrobust.over_seeds([folder])
    assert metrics_of(summary) == ["accuracy", "auc"]
    with pytest.raises(
        ConfigError, match='metric = "acuracy": no finished run has it, did you mean "accuracy"'
    ):
        metrics_of(summary, ["acuracy"])


def test_tidy_tables_have_one_value_a_row_and_go_through_a_file(folder, tmp_path):
    table = fedrobust.tidy([folder])
    found = table[table["metric"] == "accuracy"]
    keys = zip(found["federation.aggregator"], found["seed"], strict=True)
    assert dict(zip(keys, found["value"], strict=True)) == pytest.approx(ACCURACY)
    write_table(tmp_path / "all.csv", table)
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "all.csv"), table, check_dtype=False)
    with pytest.raises(PathError, match=r"ends in .csv or .parquet"):
        check_table_file(tmp_path / "all.xlsx", "tidy")


def test_parquet_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("fedrobust.cli.new_file.find_spec", lambda name: None)
    with pytest.raises(PathError, match=r"pip install 'fedrobust\[parquet\]'"):
        check_table_file(tmp_path / "all.parquet", "tidy")


def test_cells_are_rows_with_what_is_swept_first(folder):
    table = fedrobust.compare([folder])
    assert list(table.columns[:3]) == ["seed", "federation.aggregator", "status"]
    shown = text_of(*comparison(table, 200), width=200).splitlines()
    assert re.split(r"\s{2,}", shown[1].strip())[:3] == ["seed", "federation.aggregator", "status"]
    assert len(shown) == 3 + len(table) + 1


def test_means_are_shown_with_their_intervals(folder):
    shown = text_of(*means(fedrobust.over_seeds([folder]), 120), width=120)
    assert re.search(r"mean +3 +60\.0%, 35\.2 to 84\.8 +0\.600, 0\.352 to 0\.848", shown)
    one = fedrobust.over_seeds([folder])
    one = one.iloc[:1].drop(columns="federation.aggregator")
    one.attrs["settings"] = []
    assert re.search(r"accuracy +60\.0% +35\.2 to 84\.8 +3", text_of(*means(one, 120), width=120))


def text_of(*tables, width):
    stream = io.StringIO()
    for table in tables:
        Console(file=stream, width=width).print(table)
    return stream.getvalue()


def test_several_seeds_are_a_sweep_that_can_be_resumed(tmp_path, monkeypatch):
    study = Experiment.of(
        seed=7, name="mine", poisoning__attack="sign-flip", poisoning__malicious=[0, 4], data__samples=50
    )
    sweep, source = seeds_of(replace_base(study, tmp_path), 3)
    assert [cell.experiment.seed for cell in sweep.cells] == [7, 8, 9]
    assert {cell.experiment.poisoning.malicious for cell in sweep.cells} == {(0, 4)}
    assert sweep.cells[1].experiment.to_dict() == study.changed(seed=8).to_dict()
    source.write(tmp_path)
    again = SweepSource.read(tmp_path).sweep(tmp_path)
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in sweep.cells]
    asked = []
    monkeypatch.setattr(api, "run_cells", lambda *given, **more: asked.append((given, more)))
    fedrobust.run_seeds(study, 2, workers=3)
    ((made, folder), more), *_ = asked
    assert (len(made.cells), str(folder), more["workers"]) == (2, "runs/mine-seeds", 3)
    with pytest.raises(ConfigError, match="seeds = 1: allowed: 2 to 1000"):
        fedrobust.run_seeds(study, 1)


def test_a_sweep_and_a_run_have_a_folder_each(tmp_path, folder):
    run = written_run(tmp_path / "run", 0.5)
    before = sorted(run.rglob("*"))
    study = replace_base(Experiment.of(data__samples=50), tmp_path)
    file = tmp_path / "sweep.toml"
    file.write_text("seed = [0, 1]\n")
    for start in (
        lambda: fedrobust.run_seeds(study, 2, out=run),
        lambda: fedrobust.bench(file, out=run),
        lambda: api.plan_bench(file, out=run),
    ):
        with pytest.raises(
            RunFolderError, match="the folder of a run; a sweep starts in a folder without one"
        ):
            start()
    assert sorted(run.rglob("*")) == before
    with pytest.raises(RunFolderError, match="the folder is not empty"):
        fedrobust.run(study, out=folder)


def test_intervals_end_at_the_ends_of_a_metrics_range_and_that_is_said(tmp_path, capsys):
    runs = [
        written_run(tmp_path / f"seed-{seed}", accuracy, seed) for seed, accuracy in enumerate((0.5, 0.8))
    ]
    summary = fedrobust.over_seeds(runs)
    limits = ["accuracy low", "accuracy high", "auc low", "auc high"]
    assert summary.loc[0, limits].tolist() == [0, 1, 0, 1]
    with pytest.raises(SystemExit):
        app(["compare", *map(str, runs), "--over-seeds"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "65.0% 0.0 to 100.0" in shown
    assert "Cut at the ends of the metric's range: intervals of accuracy, auc." in shown
    table = fedrobust.latex_table(runs)
    assert r"$65.0$ (0.0 to 100.0) & $0.650$ (0.000 to 1.000) \\" in table
    assert "its limits where it was cut at the ends of the metric's range" in table
    text = fedrobust.markdown_table(runs)
    assert "| 65.0 (0.0 to 100.0) | 0.650 (0.000 to 1.000) |" in text
    assert "Cut at the ends of the metric's range: intervals of accuracy, auc." in text
    assert not is_cut({"auc": 1.0, "auc low": 1.0, "auc high": 1.0}, "auc")


@pytest.mark.parametrize(
    ("metric", "ends"),
    [
        ("validation balanced_accuracy", (0, 1)),
        ("true-positive-rate", (0, 1)),
        ("attack-success without trigger", (0, 1)),
        ("before removal attack-success", (0, 1)),
        ("before removal majority_rate", (0, 1)),
        ("durability censored", (0, 1)),
        ("oracle", (0, 1)),
        ("harm balanced_accuracy", (-1, 1)),
        ("cost auc", (-1, 1)),
        ("mcc", (-1, 1)),
        ("hospital gap", (0, 1)),
        ("attack-success images", None),
        ("rule-seconds", None),
        ("durability", None),
    ],
)
def test_shares_and_their_differences_have_a_range(metric, ends):
    assert range_of(metric) == ends


def test_every_share_is_in_percent_and_within_0_to_100_in_latex():
    """Three seeds of 0, 0.4 and 1: Student's interval ends below 0 and above 1."""
    shares = ("before removal attack-success", "attack-success", "durability censored", "oracle")
    compared = pandas.DataFrame(
        {"status": "finished", "seed": [0, 1, 2], **{name: [0.0, 0.4, 1.0] for name in shares}}
    )
    compared.attrs.update(settings=["seed"], figures=list(shares), cells=False)
    for name in shares:
        assert r"$46.7$ (0.0 to 100.0) \\" in latex(over_seeds(compared), [name])
    compared = compared.rename(columns={"oracle": "hospital gap", "attack-success": "clients gain"})
    compared.attrs["figures"] = ["hospital gap", "clients gain"]
    assert "$46.7$ (0.0 to 100.0) & $46.7$ (-78.4 to 100.0)" in latex(
        over_seeds(compared), ["hospital gap", "clients gain"]
    )


def replace_base(study, folder):
    return study.model_copy(update={"base": str(folder)})


def test_a_sweep_is_opened_again(folder):
    results = fedrobust.open_sweep(folder)
    assert len(results.table) == 6
    found = results.rounds.query("metric == 'accuracy' and round == 1")
    keys = zip(found["federation.aggregator"], found["seed"], strict=True)
    assert dict(zip(keys, found["value"], strict=True)) == pytest.approx(ACCURACY)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--seeds", "1"], "a mean and its interval need at least two"),
        (["run", "--seeds", "0"], "seeds = 0: allowed: 2 to 1000"),
        (["run", "--seeds", "-1"], "seeds = -1: allowed: 2 to 1000"),
        (
            ["run", "--resume", "runs/x", "--seeds", "3"],
            "go on with the seeds by fedrobust bench --resume DIR",
        ),
        (["run", "--workers", "3"], "--workers N is the number of runs at a time of --seeds N"),
        (["compare", "x", "--tidy", "x.xlsx"], "a name that ends in .csv or .parquet"),
    ],
)
def test_options_that_do_not_fit_are_refused(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        app(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_five_lines_give_means_of_real_runs(tmp_path):
    settings = {"data__samples": 60, "federation__clients": 2, "federation__rounds": 1}
    off = {"audit__enabled": False, "distillation__enabled": False, "export__enabled": False}
    results = fedrobust.run_seeds(None, 2, out=tmp_path / "seeds", evaluation__examples=0, **settings, **off)
    table = fedrobust.over_seeds([results.folder])
    assert table["seeds"].tolist() == [2]
    assert 0 <= table.loc[0, "accuracy"] <= 1
    assert results.page.is_file()
