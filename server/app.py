"""The Flower ServerApp: from a study to a run folder."""

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
    """Run the study that the run config describes, or go on with it, and leave its run folder behind.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written; nothing was trained.
        RoundError: rounds had too few replies, or an attack failed; the run folder is kept, with what was finished.
        RunFolderError: the run folder cannot be written.
    """
    experiment = Experiment.from_run_config(context.run_config)
    # On Flower's own carriers nobody listens yet: what the server's process prints is what its user sees.
    console = nullcontext() if anybody_listens() else ConsoleListener()
    with (
        console as listener,
        listening(*[listener] if listener else []),
        ThreadPoolExecutor(evaluation_threads(experiment.engine), thread_name_prefix="evaluation") as pool,
    ):
        Pipeline(ServerParts(Study.of(experiment), grid, pool)).run()
