"""The Flower ServerApp, which runs a study and writes its run folder."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrobust.config import Experiment
from fedrobust.runs.events import anybody_listens, listening
from fedrobust.study import Study
from fedrobust.terminal.run import ConsoleListener
from server.forecast import evaluation_threads
from server.parts import ServerParts
from server.pipeline import Pipeline

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study of the run config, or resume it, and write its run folder.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written; nothing was trained.
        RoundError: rounds had too few replies, or an attack failed; the run folder is kept, with all finished rounds.
        RunFolderError: the run folder cannot be written.
    """
    experiment = Experiment.from_run_config(context.run_config)
    # On Flower's own grids there is no listener yet: the process prints events itself.
    console = nullcontext() if anybody_listens() else ConsoleListener()
    with (
        console as listener,
        listening(*[listener] if listener else []),
        ThreadPoolExecutor(evaluation_threads(experiment.engine), thread_name_prefix="evaluation") as pool,
    ):
        Pipeline(ServerParts(Study.of(experiment), grid, pool)).run()
