"""A Flower ServerApp that trains nothing: it prepares the clients and forecasts time and memory of the study."""

from concurrent.futures import ThreadPoolExecutor

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedrobust.checks import check
from fedrobust.config import Experiment
from fedrobust.runs.events import ForecastMade, StageStarted, emit
from fedrobust.runs.promised import rows_of
from fedrobust.study import Study
from server.parts import ServerParts
from server.promises import check_promises, privacy_record
from server.surrogates import check_surrogates
from server.unused_statistics import statistics_remarks

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Make all checks of a run before its first round, and emit the forecast, with what a run would remark on.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written.
        RoundError: no client can be prepared.
    """
    study = Study.of(Experiment.from_run_config(context.run_config))
    with ThreadPoolExecutor(1) as pool:
        parts = ServerParts(study, grid, pool)
        emit(StageStarted("loading the data"))
        check(study)
        if parts.auditor is not None:
            parts.auditor.check_control(study.dataset)
        check_surrogates(study)
        emit(StageStarted("building the model"))
        parts.check_memory()
        check_promises(parts)
        _ = parts.distillation, parts.selection, parts.client_comparison  # raise if settings are wrong
        emit(StageStarted("preparing the clients"))
        forecast, privacy = parts.forecast, privacy_record(parts)
    rows = [*forecast.rows(), ("shards", study.partition.unevenness), *rows_of(privacy)]
    remarks = *parts.remarks(), *statistics_remarks(parts), *parts.network_remarks()
    emit(ForecastMade(forecast.line(), forecast.to_json(), rows, remarks))
    forecast.check()
