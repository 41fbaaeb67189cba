"""How a study is started, resumed and diagnosed: with stand-ins for the engine and the apps."""

import os
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.engines import simulate as module
from fedrobust.engines.simulate import (
    CLIENT_APP,
    DOCTOR_APP,
    SERVER_APP,
    carry,
    diagnose,
    grid_of,
    resumed,
    run_or_resume,
    simulate,
)
from fedrobust.runs.events import ForecastMade, StageStarted, StudyStarted, emit, listening

EXPERIMENT = Experiment.of(name="made-up", federation__clients=5)


@pytest.fixture
def stub(monkeypatch):
    def put(**functions):
        for name, function in functions.items():
            monkeypatch.setattr(module, name, function)

    return put


def started(folder):
    return StudyStarted("made-up", folder, 1, "")


@pytest.mark.parametrize("apps", [{}, {"server_app": "my.server:app", "client_app": "my.client:app"}])
def test_the_run_of_a_study_is_opened_where_it_began(stub, apps):
    carried, heard = [], []

    def carrying(experiment, *listeners, **settings):
        carried.append((experiment, settings))
        for event in (StageStarted("loading"), started("runs/one"), started("runs/two")):
            for listener in listeners:
                listener(event)

    stub(carry=carrying, Run=SimpleNamespace(open=lambda path: f"run in {path}"))
    assert simulate(EXPERIMENT, heard.append, **apps) == "run in runs/two"
    wanted = {"server_app": SERVER_APP, "client_app": CLIENT_APP, **apps}
    assert carried == [(EXPERIMENT, wanted)]
    assert heard == [StageStarted("loading"), started("runs/one"), started("runs/two")]


@pytest.mark.parametrize("apps", [{}, {"client_app": "my.client:app"}])
def test_a_diagnosis_is_the_last_forecast_of_its_own_server(stub, apps):
    carried, heard = [], []
    forecasts = [ForecastMade(line, {}, []) for line in ("first", "last")]

    def carrying(experiment, *listeners, **settings):
        carried.append((experiment, settings))
        for event in (*forecasts, StageStarted("done")):
            for listener in listeners:
                listener(event)

    stub(carry=carrying)
    assert diagnose(EXPERIMENT, heard.append, **apps) is forecasts[1]
    assert carried == [(EXPERIMENT, {"server_app": DOCTOR_APP, "client_app": CLIENT_APP, **apps})]
    assert heard == [*forecasts, StageStarted("done")]


def a_run(tmp_path, status=None):
    (tmp_path / "experiment.toml").touch()
    if status:
        (tmp_path / "result.json").touch()
    return SimpleNamespace(open=lambda folder: SimpleNamespace(status=status, folder=folder))


@pytest.mark.parametrize("status", [None, "stopped", "failed"])
def test_an_unfinished_run_goes_on_with_what_is_changed(stub, tmp_path, status):
    changes, simulated = [], []
    experiment = SimpleNamespace(changed=lambda given, **more: changes.append((given, more)) or "changed")
    stub(
        Run=a_run(tmp_path, status),
        resumable=lambda folder: simulated.append(folder.path) or experiment,
        simulate=lambda *given: simulated.append(given) or "run",
    )
    assert resumed(tmp_path, "listener", overrides=iter(["engine.workers=2"]), engine__name="ray") == "run"
    assert changes == [(("engine.workers=2",), {"engine__name": "ray"})]
    assert simulated == [tmp_path, ("changed", "listener")]


@pytest.mark.parametrize(
    ("overrides", "settings", "key"),
    [
        (["Output.dir=other"], {}, "output.dir"),
        (["engine.workers=2", " output.resume = false"], {}, "output.resume"),
        ([], {"output__root": "other"}, "output.root"),
    ],
)
def test_a_run_is_resumed_in_its_own_folder(stub, tmp_path, overrides, settings, key):
    stub(Run=a_run(tmp_path), resumable=None, simulate=None)
    with pytest.raises(ConfigError, match=f"{key} is given, and a run is resumed in its own folder"):
        resumed(tmp_path, overrides=overrides, **settings)


def test_a_finished_run_is_opened_and_takes_no_settings(stub, tmp_path):
    stub(Run=a_run(tmp_path, "finished"), simulate=None, resumable=None)
    assert resumed(tmp_path).folder == tmp_path
    with pytest.raises(ConfigError) as refused:
        resumed(tmp_path, overrides=["engine.workers=2"], engine__name="ray")
    assert str(refused.value) == (
        f"{tmp_path}: the run is finished, engine.workers=2, engine.name would change nothing; leave it out, or run "
        "the study anew in another folder"
    )
    with pytest.raises(ConfigError, match=r"finished, engine\.name would change nothing"):
        resumed(tmp_path, engine__name="ray")


def test_a_folder_is_gone_on_with_only_where_a_checkpoint_is_whole(stub, tmp_path):
    asked = []
    stub(
        resumed=lambda folder: ("resumed", folder),
        simulate=lambda experiment: ("anew", experiment),
        any_whole=lambda folder: asked.append(folder.path) or True,
    )
    folder = tmp_path / "run"
    assert run_or_resume(EXPERIMENT, folder) == ("resumed", folder)
    assert asked == [folder]
    stub(any_whole=lambda folder: False)
    for exists in (False, True):
        if exists:
            folder.mkdir()
            (folder / "left.json").touch()
        what, experiment = run_or_resume(EXPERIMENT, folder)
        assert (what, experiment.output.dir) == ("anew", str(folder))
        assert not folder.exists()


@pytest.mark.parametrize(("workers", "threads"), [(3, 3), (0, 7)])
def test_an_app_is_called_with_the_engines_grid_and_the_run_config(stub, monkeypatch, workers, threads):
    monkeypatch.delenv("FLWR_TELEMETRY_ENABLED", raising=False)
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "1")
    order, heard, called = [], [], []
    experiment = EXPERIMENT.changed(engine__workers=workers)

    @contextmanager
    def grid(*given):
        order.append(("grid", *given[:-1]))  # the last one asks for the data's digest
        yield "grid"
        order.append("left")

    def app(grid, context):
        emit(StageStarted("in the app"))
        called.append((grid, context))

    stub(
        check_data=lambda study: order.append(("data", study.experiment)),
        start_tensorflow=lambda count: order.append(("tensorflow", count)),
        cores=lambda: 7,
        grid_of=grid,
        load_app=lambda path: order.append(("app", path)) or app,
    )
    carry(experiment, heard.append, server_app="my:server", client_app="my:client")
    run_config = experiment.to_run_config()
    assert order == [
        ("data", experiment),
        ("tensorflow", threads),
        ("grid", experiment.engine, experiment.federation.clients, "my:client", run_config),
        ("app", "my:server"),
        "left",
    ]
    ((found, context),) = called
    assert (found, context.run_config, context.node_config) == ("grid", run_config, {})
    assert len(context.state) == 0
    assert heard == [StageStarted("starting TensorFlow"), StageStarted("in the app")]
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
    assert os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] == "1", "what a user has set stays"


class Grid:
    """Notes what a grid is made of."""

    def __init__(self, *given):
        self.given = given

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.given = ("closed", *self.given)


@pytest.mark.parametrize(("workers", "threads"), [(3, 3), (0, 7)])
def test_threads_answer_with_one_app(stub, monkeypatch, workers, threads):
    monkeypatch.setattr("fedrobust.engines.grid.SimulatedGrid", Grid)
    monkeypatch.setattr("fedrobust.engines.threads.ThreadWorker", lambda app: ("worker", app))
    stub(load_app=lambda path: ("app", path), cores=lambda: 7)
    experiment = EXPERIMENT.changed(engine__workers=workers, engine__client_timeout=9)
    with grid_of(experiment.engine, 5, "my:client", {"seed": 1}, lambda: "") as grid:
        start_worker, *rest = grid.given
        assert rest == [{"seed": 1}, 5, threads, experiment.engine.client_timeout, False]
        assert start_worker(0) == start_worker(1) == ("worker", ("app", "my:client"))
    assert grid.given[0] == "closed"


@pytest.mark.parametrize(("address", "stage"), [("", "starting Ray"), ("auto", "joining Ray")])
def test_ray_is_started_or_joined(stub, monkeypatch, address, stage):
    engine = pytest.importorskip("fedrobust.engines.ray_engine")
    seen, told = [], []

    @contextmanager
    def ray_engine(*given):
        seen.append(given)
        yield SimpleNamespace(start_worker="start_worker", workers=4)

    monkeypatch.setattr(engine, "ray_engine", ray_engine)
    monkeypatch.setattr("fedrobust.engines.grid.SimulatedGrid", Grid)
    experiment = EXPERIMENT.changed(engine__name="ray", engine__address=address, engine__client_timeout=9)
    with (
        listening(told.append),
        grid_of(experiment.engine, 5, "my:client", {"seed": 1}, lambda: "d" * 8) as grid,
    ):
        assert grid.given == ("start_worker", {"seed": 1}, 5, 4, experiment.engine.client_timeout, False)
    assert seen == [(experiment.engine, "my:client", {"seed": 1}, "d" * 8)]
    assert told == [StageStarted(stage)]


def without_ray(monkeypatch):
    """Forget Ray's modules, and those that import it."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "ray" or name.startswith("fedrobust.engines.ray"):
            monkeypatch.delitem(sys.modules, name)


def test_ray_that_is_not_installed_is_said_to_be_missing(monkeypatch):
    without_ray(monkeypatch)
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError) as refused,
        grid_of(EXPERIMENT.changed(engine__name="ray").engine, 2, "my:client", {}, lambda: ""),
    ):
        pass
    assert str(refused.value) == (
        'engine.name = "ray": Ray cannot be imported: it is not installed; choose engine.name = "threads", or install '
        'it: pip install "flwr[simulation]"'
    )


def test_a_users_own_module_named_ray_is_named(monkeypatch, tmp_path):
    own = tmp_path / "ray.py"
    own.touch()
    without_ray(monkeypatch)
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        pytest.raises(ConfigError) as refused,
        grid_of(EXPERIMENT.changed(engine__name="ray").engine, 2, "my:client", {}, lambda: ""),
    ):
        pass
    assert str(refused.value) == (
        f'engine.name = "ray": Ray cannot be imported: {own} has its name; choose engine.name = "threads", or rename '
        "that file or its folder"
    )
