"""Run a study on this machine: the two Flower apps, and the engine that carries their messages."""

import os
from pathlib import Path

from fedrobust.config import Experiment
from fedrobust.registry import import_dotted
from fedrobust.runs.events import Event, Listener, StageStarted, StudyStarted, emit, listening
from fedrobust.runs.run import Run
from fedrobust.runtime import start_tensorflow
from fedrobust.study import partition_of

SERVER_APP = "server.app:app"
CLIENT_APP = "clients.app:app"


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
        ConfigError, DataError, ModelError: the study cannot be run as written; nothing was trained.
        RoundError: a round had too few replies. The run folder is kept.
    """
    # What is wrong with the data is told before TensorFlow takes its ten seconds to start.
    partition_of(experiment)
    workers = experiment.engine.workers or os.cpu_count() or 1
    with listening(*listeners):
        emit(StageStarted("starting TensorFlow"))
    start_tensorflow(workers)
    # Flower reports usage to its makers when imported, unless told not to.
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    from flwr.app import Context, RecordDict

    from fedrobust.simulation.identity import RUN_ID, SERVER_NODE_ID, server_identity
    from fedrobust.simulation.threads import ThreadsGrid

    folders: list[str] = []

    def remember(event: Event) -> None:
        if isinstance(event, StudyStarted):
            folders.append(event.folder)

    run_config = experiment.to_run_config()
    context = Context(RUN_ID, SERVER_NODE_ID, {}, RecordDict(), run_config)
    with (
        listening(remember, *listeners),
        server_identity(),
        ThreadsGrid(import_dotted(client_app), run_config, experiment.federation.clients, workers) as grid,
    ):
        import_dotted(server_app)(grid, context)
    return Run.open(Path(folders[-1]))
