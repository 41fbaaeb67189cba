"""A Flower ServerApp that trains nothing: it has the clients get ready, and says what the study would cost."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrobust.checks import check
from fedrobust.config import Experiment
from fedrobust.data.dataset import Problem
from fedrobust.runs.events import ForecastMade, StageStarted, emit
from fedrobust.study import dataset_of, initial_model, partition_of
from server.aggregation_step import AggregationStep
from server.client_registry import registry_of
from server.federation import FederatedStrategy
from server.forecast import check_aggregation, forecast_of
from server.root_update import root_update_of
from server.stages.audit import check_control
from server.stages.distillation import plan_distillation

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Check everything that a run would check before its first round, and tell the forecast.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written.
        RoundError: no client gets ready.
    """
    experiment = Experiment.from_run_config(context.run_config)
    emit(StageStarted("loading the data"))
    check(experiment)
    dataset = dataset_of(experiment)
    check_control(experiment, dataset)
    emit(StageStarted("building the model"))
    classifier, _ = initial_model(experiment)
    check_aggregation(experiment, classifier.layout)
    if experiment.distillation.enabled:
        plan_distillation(experiment, dataset)
    problem = Problem.of(dataset)
    emit(StageStarted("preparing the clients"))
    population = registry_of(grid, experiment, problem, classifier.layout)
    defender = AggregationStep(experiment, root_update_of(experiment, dataset))
    strategy = FederatedStrategy(experiment, classifier.layout, problem, population, defender)
    forecast = forecast_of(
        experiment, dataset, classifier.layout, strategy, getattr(grid, "workers", 0), classifier
    )
    shards = partition_of(experiment).unevenness
    emit(ForecastMade(forecast.line(), forecast.to_json(), [*forecast.rows(), ("shards", shards)]))
    forecast.check()
