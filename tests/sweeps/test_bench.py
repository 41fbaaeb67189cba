"""Real small sweeps."""

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import fedrobust
from fedrobust.config import ConfigError
from fedrobust.runs.round_log import LOG
from fedrobust.runs.run import Run
from fedrobust.sweeps.bench import check_distinct
from fedrobust.sweeps.events import CellFinished, CellMissing, CellStarted, SweepStarted, WorkerReplaced
from fedrobust.sweeps.page import render
from fedrobust.sweeps.results import Results, SweepError
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.sweep import Sweep

FILE = """
name = "small"
seed = [0, 1]
[data]
samples = 150
[model]
name = "edge-cnn(width=8)"
image-size = 28
[federation]
clients = 4
rounds = 1
aggregator = ["mean", "OTHER"]
[poisoning]
attack = "sign-flip"
malicious = 1
[evaluation]
epsilons = [0.005]
examples = 0
[audit]
enabled = false
[distillation]
enabled = false
[export]
enabled = false
"""


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process outlives its sweep."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    after = psutil.Process().children(recursive=True)
    # Python's own resource tracker lives as long as the tests do: it is not waited for.
    _, alive = psutil.wait_procs(
        [each for each in after if each.pid not in before and not tracker(each)], timeout=20
    )
    assert not alive


def tracker(process):
    with suppress(psutil.NoSuchProcess):
        return "resource_tracker" in " ".join(process.cmdline())
    return False


def end(worker):
    """Kill a worker process, and wait until it is dead; its parent reaps it."""
    worker.kill()
    while worker.status() != psutil.STATUS_ZOMBIE:
        pass


def end_at_work(worker, cells):
    """Kill a worker process once it has begun its cell."""
    while not any(cells.glob("*/experiment.toml")):
        pass
    worker.kill()


def file(tmp_path, other="median"):
    path = tmp_path / "sweep.toml"
    path.write_text(FILE.replace("OTHER", other))
    return path


def test_a_sweep_is_run_recorded_shown_and_not_run_twice(tmp_path):
    heard = []
    results = fedrobust.bench(file(tmp_path), heard.append, out=tmp_path / "out", workers=2)
    table = results.table
    assert len(table) == 4
    assert set(table["status"]) == {"finished"}
    assert table["accuracy"].between(0, 1).all()
    assert set(table["federation.aggregator"]) == {"mean", "median"}
    with sqlite3.connect(tmp_path / "out" / "results.sqlite") as database:
        query = "select count(*) from rounds where figure = 'balanced_accuracy' and round = 1"
        assert database.execute(query).fetchone() == (4,)
    page = results.page.read_text()
    assert "Balanced accuracy" in page
    assert page.count("/result.json") == 4
    # The same bits as the same study run by itself.
    row = next(
        row for row in results.rows() if row.settings == {"seed": 1, "federation.aggregator": "median"}
    )
    alone = fedrobust.run(
        fedrobust.Experiment.of(**{f"{k.replace('.', '__')}": v for k, v in row.settings.items()}).changed(
            data__samples=150,
            model__name="edge-cnn(width=8)",
            model__image_size=28,
            federation__clients=4,
            federation__rounds=1,
            poisoning__attack="sign-flip",
            poisoning__malicious=1,
            evaluation__epsilons=[0.005],
            evaluation__examples=0,
            audit__enabled=False,
            distillation__enabled=False,
            export__enabled=False,
        ),
        out=tmp_path / "alone",
    )
    cell = Run.open(results.folder / row.folder)
    assert cell.result["model"]["digest"] == alone.result["model"]["digest"]
    compared = fedrobust.compare([tmp_path / "out", tmp_path / "alone"])
    assert len(compared) == 5
    assert {"seed", "federation.aggregator", "balanced_accuracy"} <= set(compared.columns)

    again = []
    fedrobust.bench(file(tmp_path), again.append, out=tmp_path / "out")
    assert not [event for event in again if isinstance(event, CellStarted)]


@pytest.mark.slow
def test_with_one_more_value_finished_cells_stay_also_when_the_file_of_results_was_lost(tmp_path):
    fedrobust.bench(file(tmp_path), out=tmp_path / "out", workers=2)
    (tmp_path / "out" / "results.sqlite").unlink()
    # As if the first cell's worker had been killed before it discarded its checkpoints.
    log = min((tmp_path / "out" / "cells").iterdir()) / LOG
    log.parent.mkdir()
    log.touch()
    more = []
    path = file(tmp_path)
    path.write_text(path.read_text().replace("seed = [0, 1]", "seed = [0, 1, 2]"))
    bigger = fedrobust.bench(path, more.append, out=tmp_path / "out", workers=1)
    assert len(bigger.table) == 6
    assert next(event for event in more if isinstance(event, SweepStarted)).finished == 4
    assert not log.parent.exists()


@pytest.mark.parametrize("when", ["before its cell", pytest.param("in its cell", marks=pytest.mark.slow)])
def test_a_failing_cell_is_recorded_and_a_dead_worker_replaced(tmp_path, when):
    # A rule of one's own that fails in the round: nothing could have told so before.
    (tmp_path / "failing_in_a_cell.py").write_text(
        "class Rule:\n    def __call__(self, updates, context):\n        raise ValueError('no rule at all')\n"
    )
    heard, killed = [], []

    def listener(event):
        heard.append(event)
        if isinstance(event, CellStarted) and not killed:
            workers = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
            killed.append(workers[0])
            if when == "before its cell":
                end(workers[0])
            else:
                threading.Thread(target=end_at_work, args=(workers[0], tmp_path / "out" / "cells")).start()

    path = file(tmp_path, "failing_in_a_cell:Rule")
    results = fedrobust.bench(path, listener, out=tmp_path / "out", workers=1, only=["seed=0"])
    rows = {row.settings["federation.aggregator"]: row for row in results.rows() if row.settings["seed"] == 0}
    failed = rows.pop("failing_in_a_cell:Rule")
    assert (failed.status, rows["mean"].status) == ("failed", "finished")
    assert "no rule at all" in failed.error
    assert len([event for event in heard if isinstance(event, WorkerReplaced)]) == 1
    assert len([event for event in heard if isinstance(event, CellFinished)]) == 2
    assert "1 of 4 cells failed" in results.page.read_text()


def test_cells_that_cannot_be_run_are_told_once_and_before_the_first_worker_starts(tmp_path):
    path, heard = file(tmp_path, "no_such_module:Rule"), []
    with pytest.raises(
        ConfigError, match=r"2 of 4 cells, the first with seed = 0, .*no_such_module"
    ) as error:
        fedrobust.bench(path, heard.append, out=tmp_path / "out", workers=1)
    assert len(str(error.value).splitlines()) == 1
    assert not [event for event in heard if isinstance(event, CellStarted)]


def test_ctrl_c_stops_a_sweep_and_says_how_to_go_on(tmp_path):
    command = [
        sys.executable,
        "-m",
        "fedrobust",
        "bench",
        str(file(tmp_path)),
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("sweep folder"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"fedrobust bench --resume {tmp_path / 'out'}" in errors
    assert (tmp_path / "out" / "sweep.html").exists()


def test_what_is_no_sweep_is_said(tmp_path):
    with pytest.raises(SweepError, match="not the folder of a sweep"):
        Results.open(tmp_path)


def test_hostile_text_is_escaped():
    evil = "<script>alert(1)</script>"
    row = Row(
        "0" * 16,
        "finished",
        {"poisoning.attack": evil},
        {"name": evil, "poisoning": {"attack": evil}},
        {"balanced_accuracy": 0.5},
        "",
        "cells/x",
        "c",
    )
    failed = Row("1" * 16, "failed", {"seed": 1}, {}, {}, evil, "cells/y", "d")
    page = render([row, failed], evil)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "2 versions of the code" in page


def test_the_example_is_a_valid_sweep():
    from fedrobust.sweeps.sweep import Sweep

    experiments = Path(__file__).parents[2] / "experiments"
    assert len(Sweep.load(experiments / "sweep.toml").cells) == 24


def test_a_cell_whose_data_cannot_be_had_is_told_and_the_others_are_run(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDROBUST_DATA", str(tmp_path))
    monkeypatch.setattr("fedrobust.data.medmnist.writable", lambda root="": None)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = file(tmp_path)
    path.write_text(
        path.read_text().replace("samples = 150", 'samples = 150\nname = ["phantom", "octmnist"]')
    )
    heard = []
    results = fedrobust.bench(
        path, heard.append, out=tmp_path / "out", workers=1, only=["seed=0", "federation.aggregator=mean"]
    )
    missing = [event for event in heard if isinstance(event, CellMissing)]
    assert [event.cell.experiment.data.name for event in missing] == ["octmnist"]
    assert "by hand" in missing[0].reason
    rows = results.rows()
    asked = [
        row for row in rows if (row.settings["seed"], row.settings["federation.aggregator"]) == (0, "mean")
    ]
    assert [(row.status, row.settings["data.name"]) for row in asked] == [
        ("finished", "phantom"),
        ("missing", "octmnist"),
    ]
    others = [row for row in rows if row not in asked and row.settings["data.name"] == "phantom"]
    assert [row.status for row in others] == ["not run"] * 3, "cells that were not asked for are no result"
    assert "could not be run here" in results.page.read_text()


def test_two_cells_that_are_one_study_are_refused():
    base = {"data.samples": 150, "federation.clients": 4}
    for key, values in (("engine.workers", [1, 2]), ("training.optimizer", ["sgd", "sgd(momentum=0.9)"])):
        sweep = Sweep.of("one", {**base, key: values})
        with pytest.raises(ConfigError, match=r"are the same study: .* take one of the values out"):
            check_distinct(sweep.cells)
    check_distinct(Sweep.of("two", {**base, "seed": [0, 1]}).cells)
    check_distinct(Sweep.of("limits", {**base, "engine.client-timeout": [0.0, 30.0]}).cells)
