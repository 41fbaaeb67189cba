"""Trace and optimise graphs in parallel, before the clients' trial steps."""

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

from flwr.serverapp import Grid

from fedrobust.engines.grid import SimulatedGrid
from fedrobust.study import Study
from server.stages.evaluation import Evaluator


def rehearse(study: Study, evaluator: Evaluator, grid: Grid, pool: Executor) -> None:
    """Optimise the graphs of training and evaluation, each in a thread.

    Otherwise they would be optimised one after the other, on first use. Errors of tracing are ignored here: they are
    raised again on first use.

    Args:
        study: its training graph is optimised if clients are trained in this process.
        evaluator: of the global model.
        grid: delivers messages to the clients.
        pool: of threads.
    """
    training = study.experiment.training
    if training.features_are_cached:
        return
    tasks: list[Callable[[], object]] = [evaluator.rehearse]
    if isinstance(grid, SimulatedGrid) and study.experiment.engine.name == "threads":
        tasks.append(lambda: study.local_training.update(training))
    for made in [pool.submit(task) for task in tasks]:
        with suppress(Exception):  # raised again on first use
            made.result()
