"""Runs side by side: whole names, typed columns, and what did not come to its end as what it is."""

import io
import json
import math
from types import SimpleNamespace

import pytest
from pandas import isnull

from fedrobust.config import Experiment
from fedrobust.runs.record import RunRecord
from fedrobust.sweeps import compare as module
from fedrobust.sweeps.compare import Compared, compare, fixed_apart
from fedrobust.sweeps.over_seeds import over_seeds
from fedrobust.sweeps.row import Row
from fedrobust.terminal.sweep import comparison


@pytest.fixture
def folder(tmp_path):
    """Write a run folder with a made-up result."""

    def make(name, status="finished", balanced=0.75, digest="", network="", files=None, **settings):
        place = tmp_path / name
        place.mkdir()
        study = Experiment.of(**settings)
        (place / "experiment.toml").write_text(study.to_toml())
        result = {
            "schema": 1,
            "status": status,
            "experiment": study.to_dict(),
            "rounds": [{"round": 1, "seconds": 1.0}],
            "student": None,
            "export": [],
            **({"dataset": {"digest": digest}} if digest else {}),
            **({"model": {"name": "net", "network-digest": network}} if network else {}),
            **({"file-digests": files} if files else {}),
            "model-evaluation": {"clean": {"accuracy": 0.8, "balanced_accuracy": balanced, "n": 156}},
            "tolerance": {"clients": 3, "source": "truth", "malicious": 3, "probability-of-more": 0.25},
        }
        (place / "result.json").write_text(json.dumps(result))
        return place

    return make


def test_a_row_is_a_run_and_a_column_has_one_type(folder):
    table = compare([folder("one", balanced=0.5), folder("other", balanced=0.75, federation__clients=20)])
    assert list(table.index) == ["one", "other"]
    assert table["balanced_accuracy"].tolist() == [0.5, 0.75]
    assert table["balanced_accuracy"].dtype == float
    assert table["federation.clients"].tolist() == [10, 20]
    assert table["probability-of-more"].tolist() == [0.25, 0.25]


def test_a_time_limit_of_clients_is_a_setting_in_which_runs_differ_and_other_settings_of_the_engine_are_not(
    folder,
):
    runs = [folder("one", engine__workers=1), folder("other", engine__workers=2, output__report=False)]
    assert compare(runs).attrs["settings"] == []
    limited = compare([*runs, folder("limited", engine__client_timeout=30.0)])
    assert limited["engine.client-timeout"].tolist() == [0.0, 0.0, 30.0]


def test_the_csv_is_tidy(folder):
    import pandas

    table = compare([folder("one"), folder("other", federation__aggregator="median")])
    back = pandas.read_csv(io.StringIO(table.to_csv()), index_col="run")
    assert back.loc["other", "federation.aggregator"] == "median"
    assert back["accuracy"].dtype == float


@pytest.mark.parametrize("status", ["stopped", "failed", "running"])
def test_a_run_that_is_not_finished_has_a_status_and_no_figures(folder, status):
    table = compare([folder("good"), folder("bad", status=status)])
    assert table.loc["bad", "status"] == status
    assert "after round 1 of 5" in table.loc["bad", "reason"]
    assert isnull(table.loc["good", "reason"])
    assert math.isnan(table.loc["bad", "balanced_accuracy"])
    assert table.loc["good", "balanced_accuracy"] == 0.75


def test_two_runs_of_one_name_are_told_apart(folder, tmp_path):
    first = folder("same")
    (tmp_path / "below").mkdir()
    second = first.rename(tmp_path / "below" / "same")
    assert list(compare([folder("same"), second]).index) == ["same", "same (2)"]


def test_it_is_said_that_a_rule_was_told_the_truth(folder):
    table = compare([folder("truth"), folder("given", federation__tolerate=2)])
    assert table["federation.tolerate"].tolist() == ["the true number (oracle)", 2]


@pytest.mark.parametrize(("runs", "width"), [(2, 60), (2, 100), (7, 120)])
def test_a_terminal_shows_names_and_values_whole(folder, runs, width):
    from rich.console import Console

    attacks = ["sign-flip", "gaussian", "zero", "alie", "ipm", "mimic", "min-max"]
    folders = [
        folder(f"run-with-{attack}", poisoning__attack=attack, poisoning__malicious=3)
        for attack in attacks[:runs]
    ]
    output = io.StringIO()
    for table in comparison(compare(folders), width):
        Console(file=output, width=width).print(table)
    shown = output.getvalue()
    assert "…" not in shown
    # Long names are folded over lines, not cut.
    letters = shown.replace("\n", "").replace(" ", "")
    assert all(attack.split("-")[0] in letters for attack in attacks[:runs])


def test_other_images_in_the_same_file_are_a_setting(folder):
    own = {"data__name": "mine.npz"}
    paths = [
        folder(f"{digest[:3]}-{seed}", digest=digest, balanced=balanced, seed=seed, **own)
        for digest, balanced in (("old" * 9, 0.5), ("new" * 9, 0.75))
        for seed in (0, 1)
    ]
    table = compare(paths)
    assert table["data.digest"].tolist() == 2 * ["old" * 4] + 2 * ["new" * 4]
    means = over_seeds(table)
    assert means["data.digest"].tolist() == ["old" * 4, "new" * 4]
    assert means["seeds"].tolist() == [2, 2]
    assert means["balanced_accuracy"].tolist() == [0.5, 0.75]
    assert "data.digest" not in compare(paths[:2])
    other = folder("shards", digest="new" * 9, data__partition="shards", **own)
    assert compare([paths[0], other])["data.digest"].tolist() == ["old" * 4, "new" * 4]


def test_other_files_and_phantoms_of_other_seeds_need_no_digest(folder):
    paths = [
        folder("one", digest="a" * 64, data__name="one.npz"),
        folder("two", digest="b" * 64, data__name="two.npz"),
        folder("zero", digest="c" * 64, seed=0),
        folder("first", digest="d" * 64, seed=1),
    ]
    assert "data.digest" not in compare(paths)


def test_other_networks_in_the_same_file_are_a_setting(folder):
    own = {"model__name": "mine.keras"}
    old, new = ([folder(f"{net}-{seed}", network=net * 6, balanced=balanced, seed=seed, **own) for seed in (0, 1)]
                for net, balanced in (("ab", 0.5), ("cd", 0.75)))  # fmt: skip
    # Seeds 0 and 1 of two networks are no two seeds of one.
    means = over_seeds(compare([old[0], new[1]]))
    assert means["model.network-digest"].tolist() == ["ab" * 6, "cd" * 6]
    assert means["seeds"].tolist() == [1, 1]
    # Equal seeds of two networks are no repetition.
    means = over_seeds(compare([*old, *new]))
    assert (means["seeds"].tolist(), means["balanced_accuracy"].tolist()) == ([2, 2], [0.5, 0.75])
    assert means.attrs["repeated"] == []
    assert "model.network-digest" not in compare(old)
    other = folder("other", network="ef" * 6, model__name="another.keras")
    assert "model.network-digest" not in compare([*old, other])


@pytest.mark.parametrize(
    ("what", "settings"),
    [
        ("weights", {"model__weights": "start.weights.h5"}),
        ("public", {"distillation__enabled": True, "distillation__public": "public.npz"}),
        ("annotations", {"data__name": "mine.npz"}),
    ],
)
def test_other_content_of_a_named_file_is_a_setting(folder, what, settings):
    paths = [
        folder(f"{name}", files={what: name * 12}, seed=seed, **settings) for seed, name in enumerate("ab")
    ]
    assert over_seeds(compare(paths))[f"file-digests.{what}"].tolist() == ["a" * 12, "b" * 12]
    same = folder("same", files={what: "a" * 12}, seed=5, **settings)
    assert over_seeds(compare([paths[0], same]))["seeds"].tolist() == [2]


@pytest.mark.parametrize("key", ["data.digest", "model.network-digest", "file-digests.weights"])
def test_seeds_of_sweeps_on_other_files_are_not_pooled(tmp_path, monkeypatch, key):
    """Two sweeps of other seeds: no cell of one has a counterpart in the other."""

    read = {
        "data.digest": lambda digest: {"dataset": {"digest": digest}},
        "model.network-digest": lambda digest: {"model": {"name": "net", "network-digest": digest}},
        "file-digests.weights": lambda digest: {"file-digests": {"weights": digest}},
    }

    def sweep(name, digest, seeds):
        rows = [
            Row(f"h{seed}", "finished", {"seed": seed}, {"seed": seed, "data": {"name": "mine.npz"}}, {"auc": 0.5},
                "", f"cells/h{seed}", "")
            for seed in seeds
        ]  # fmt: skip
        run = RunRecord.read({"schema": 2, "status": "finished", "rounds": [], "experiment": {}, "student": None,
                              "export": [], **read[key](digest)})  # fmt: skip
        return tmp_path / name, SimpleNamespace(rows=lambda: rows, folder=tmp_path / name), run

    sweeps = [sweep("old", "old" * 9, (0, 1)), sweep("new", "new" * 9, (2, 3))]
    for path, _, _ in sweeps:
        path.mkdir()
        (path / module.FILE).touch()
    opened = SimpleNamespace(open=lambda path: next(results for name, results, _ in sweeps if name == path))
    monkeypatch.setattr(module, "Results", opened)
    monkeypatch.setattr(
        module, "record_in", lambda folder: next(r for p, _, r in sweeps if p in folder.parents)
    )
    means = over_seeds(compare([path for path, _, _ in sweeps]))
    assert means["seeds"].tolist() == [2, 2]
    assert means[key].tolist() == ["old" * 4, "new" * 4]


def test_sweeps_that_differ_in_what_none_of_them_sweeps_are_not_pooled():
    def row(seed, rule, rounds):
        study = {"seed": seed, "federation": {"aggregator": rule, "rounds": rounds}}
        swept = {"seed": seed, "federation.aggregator": rule}
        return Compared.of_cell(Row("h", "finished", swept, study, {"accuracy": 0.5}, "", "", ""))

    one = [row(seed, rule, 5) for seed in range(3) for rule in ("mean", "median")]
    other = [row(seed, rule, 50) for seed in range(3) for rule in ("mean", "median")]
    assert fixed_apart(one) == []
    assert fixed_apart([*one, *other]) == ["federation.rounds"]
