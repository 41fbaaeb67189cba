"""Run a study: Flower's server and client app, on the engine that carries their messages.

Flower and Ray are imported inside of functions, so that commands that run nothing do not wait for them.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.apps import load_app
from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.config.sections import Engine
from fedrobust.cores import cores
from fedrobust.report.completion import complete
from fedrobust.runs.checkpoint import any_whole, resumable
from fedrobust.runs.events import Event, ForecastMade, Listener, StageStarted, StudyStarted, emit, listening
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.run import Run
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study

if TYPE_CHECKING:
    from fedrobust.engines.grid import SimulatedGrid

SERVER_APP = "server.app:app"
CLIENT_APP = "clients.app:app"

PLACE = frozenset({"output.root", "output.dir", "output.resume"})
"""Where a run is, which a resumed one cannot change."""


def simulate(
    experiment: Experiment,
    *listeners: Listener,
    server_app: str = SERVER_APP,
    client_app: str = CLIENT_APP,
) -> Run:
    """Run `experiment` to its end and return the run.

    Args:
        experiment: the study.
        listeners: called with every event (see `fedrobust.runs.events`).
        server_app: dotted path of a Flower ServerApp.
        client_app: dotted path of a Flower ClientApp.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written; nothing was trained.
        EngineError: the engine cannot start or go on.
        RoundError: a round had too few replies. The run folder is kept.
    """
    folders: list[str] = []
    output = experiment.output
    if not output.resume:
        RunFolder.check_new(output.root, output.dir)

    def remember(event: Event) -> None:
        if isinstance(event, StudyStarted):
            folders.append(event.folder)

    carry(experiment, remember, *listeners, server_app=server_app, client_app=client_app)
    return Run.open(Path(folders[-1]))


def resumed(folder: str | Path, *listeners: Listener, overrides: Iterable[str] = (), **settings: Any) -> Run:
    """Continue an unfinished run from its last checkpoint, and return it; see `fedrobust.resume`.

    Of a finished run, what its process was stopped in is done: the report and the removal of checkpoints.

    Raises:
        RunFolderError: it is no run folder, it has no checkpoint, or another process is running in it.
        ConfigError: a setting is wrong or one that a resumed run cannot change (it may change ``[engine]``,
            ``output.report`` and ``output.keep-every``), or the run is finished and settings are given.
    """
    run_folder, overrides = RunFolder.open(folder), tuple(overrides)
    if run_folder.file("result.json").exists() and (finished := Run.open(folder)).status == "finished":
        if overrides or settings:
            given = ", ".join([*overrides, *(name.replace("__", ".") for name in settings)])
            raise ConfigError(
                f"{folder}: the run is finished, {given} would change nothing; leave it out, or run the study anew in "
                "another folder"
            )
        complete(run_folder)
        return finished
    changed = (*(text.partition("=")[0].strip() for text in overrides), *settings)
    moved = PLACE.intersection(key.replace("__", ".").lower() for key in changed)
    if moved:
        raise ConfigError(
            f"{folder}: {sorted(moved)[0]} is given, and a run is resumed in its own folder; leave it out"
        )
    return simulate(resumable(run_folder).changed(overrides, **settings), *listeners)


def run_or_resume(experiment: Experiment, folder: Path, *listeners: Listener) -> Run:
    """Run `experiment` in `folder`, or resume the run there if it has a valid checkpoint.

    Without a valid checkpoint, files that an earlier run left in the folder are removed.
    """
    if any_whole(RunFolder(folder)):
        return resumed(folder, *listeners)
    if folder.exists():
        shutil.rmtree(folder)
    return simulate(experiment.changed(output__dir=str(folder)), *listeners)


DOCTOR_APP = "server.doctor:app"


def diagnose(experiment: Experiment, *listeners: Listener, client_app: str = CLIENT_APP) -> ForecastMade:
    """Build everything that `experiment` needs, train nothing, and return the forecast of its cost.

    Args:
        experiment: the study.
        listeners: called with every event.
        client_app: dotted path of a Flower ClientApp.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written.
        EngineError: the engine cannot start.
    """
    forecasts: list[ForecastMade] = []

    def remember(event: Event) -> None:
        if isinstance(event, ForecastMade):
            forecasts.append(event)

    carry(experiment, remember, *listeners, server_app=DOCTOR_APP, client_app=client_app)
    return forecasts[-1]


def carry(experiment: Experiment, *listeners: Listener, server_app: str, client_app: str) -> None:
    """Start the study's engine and run a ServerApp on it; see `simulate`."""
    # Faults of the data are reported before the seconds that TensorFlow takes to start.
    study = Study.up_to_date(experiment)
    check_data(study)
    with listening(*listeners):
        emit(StageStarted("starting TensorFlow"))
    start_tensorflow(experiment.engine.workers or cores())
    # Flower sends usage reports when imported, unless this is set.
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    from flwr.app import Context, RecordDict

    from fedrobust.flower.identity import RUN_ID, SERVER_NODE_ID, server_identity

    run_config = experiment.to_run_config()
    context = Context(RUN_ID, SERVER_NODE_ID, {}, RecordDict(), run_config)
    # `server_identity` is entered first, so that it is restored after the last worker has ended.
    with (
        listening(*listeners),
        server_identity(),
        grid_of(
            experiment.engine,
            experiment.federation.clients,
            client_app,
            run_config,
            lambda: study.dataset.digest,
        ) as grid,
    ):
        load_app(server_app)(grid, context)


@contextmanager
def grid_of(
    engine: Engine, clients: int, client_app: str, run_config: dict[str, Any], digest: Callable[[], str]
) -> "Iterator[SimulatedGrid]":
    """Start a study's engine.

    Args:
        engine: settings of ``[engine]``.
        clients: number of clients, each of which is a node.
        client_app: dotted path of the ClientApp that every node runs.
        run_config: Flower's run config, given to every node.
        digest: returns the digest of the data, which Ray's workers on other machines must have, too.

    Raises:
        ConfigError: the engine is Ray, which cannot be imported.
        EngineError: it cannot start.
    """
    from fedrobust.engines.grid import SimulatedGrid

    groups = client_app == CLIENT_APP
    if engine.name == "threads":
        from fedrobust.engines.threads import ThreadWorker

        app = load_app(client_app)
        workers = engine.workers or cores()
        with SimulatedGrid(
            lambda _: ThreadWorker(app), run_config, clients, workers, engine.client_timeout, groups
        ) as grid:
            yield grid
        return
    ray_engine = _imported_ray_engine()
    emit(StageStarted("joining Ray" if engine.address else "starting Ray"))
    with (
        ray_engine(engine, client_app, run_config, digest()) as cluster,
        SimulatedGrid(
            cluster.start_worker, run_config, clients, cluster.workers, engine.client_timeout, groups
        ) as grid,
    ):
        yield grid


def _imported_ray_engine() -> Any:
    """Return `ray_engine`.

    Raises:
        ConfigError: Ray is not installed, or another module has its name.
    """
    try:
        from fedrobust.engines.ray_engine import ray_engine
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        found = find_spec("ray")
        if (
            found is None or not found.origin
        ):  # a folder without modules is found only where Ray is not installed
            why, advice = "it is not installed", 'install it: pip install "flwr[simulation]"'
        else:
            why, advice = f"{found.origin} has its name", "rename that file or its folder"
        raise ConfigError(
            f'engine.name = "ray": Ray cannot be imported: {why}; choose engine.name = "threads", or {advice}'
        ) from error
    return ray_engine
