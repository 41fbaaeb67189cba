"""A Flower ServerApp that trains nothing: it has the clients get ready, and says what the study would cost."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrobust.checks import check
from fedrobust.config import Experiment
from fedrobust.data.dataset import Problem
from fedrobust.runs.events import ForecastMade, StageStarted, emit
from fedrobust.study import dataset_of, initial_model, partition_of
from server.auditor import check_control
from server.defender import Defender
from server.distiller import plan_lesson
from server.forecaster import check_aggregation, forecast_of
from server.population import population_of
from server.root import root_of
from server.strategy import FederatedStrategy

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
        plan_lesson(experiment, dataset)
    problem = Problem.of(dataset)
    emit(StageStarted("preparing the clients"))
    population = population_of(grid, experiment, problem, classifier.layout)
    defender = Defender(experiment, root_of(experiment, dataset))
    strategy = FederatedStrategy(experiment, classifier.layout, problem, population, defender)
    forecast = forecast_of(
        experiment, dataset, classifier.layout, strategy, getattr(grid, "workers", 0), classifier
    )
    shards = partition_of(experiment).unevenness
    emit(ForecastMade(forecast.line(), forecast.to_json(), [*forecast.rows(), ("shards", shards)]))
    forecast.check()
