"""Make graphs ready side by side, before clients are asked how fast they are."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

from flwr.serverapp import Grid

from fedrobust.engines.grid import SimulatedGrid
from fedrobust.study import Study
from server.stages.evaluation import Evaluator


def rehearse(study: Study, evaluator: Evaluator, grid: Grid, pool: Executor) -> None:
    """Have TensorFlow optimise the graphs of training and of the evaluation, each in a thread.

    It takes one thread for each graph, and clients and evaluation would ask for them one after the other. What cannot
    be traced is told to whoever needs it.

    Args:
        study: its training is made ready where clients are trained in this process.
        evaluator: of the global model.
        grid: reaches the clients.
        pool: of threads.
    """
    training = study.experiment.training
    if training.features_are_cached:
        return
    tasks: list[Callable[[], object]] = [evaluator.rehearse]
    if isinstance(grid, SimulatedGrid) and study.experiment.engine.name == "threads":
        tasks.append(lambda: study.local_training.update(training))
    for made in [pool.submit(task) for task in tasks]:
        with suppress(Exception):  # of user's own parts, too
            made.result()
