"""The Flower ClientApp: every hospital of a study, simulated or real."""

from typing import Any

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.hospital import Hospital
from clients.shard import partition_id, shard
from fedrobust.config import Experiment
from fedrobust.flower.records import problem_of, weights_of, weights_record
from fedrobust.once import once
from fedrobust.runs.environment import code_digest
from fedrobust.runtime import start_tensorflow
from fedrobust.study import classifier_of, local_update_of
from fedrobust.training.calibration import calibrate

app = ClientApp()


@app.query()
def introduce(message: Message, context: Context) -> Message:
    """Answer who this node is and how fast, once everything that training needs is built."""
    hospital = _hospital(message, context)
    experiment, problem = hospital.experiment, hospital.problem
    calibration = calibrate(
        local_update_of(experiment, problem), hospital.shard, experiment.training.batch_size
    )
    answer: dict[str, int | float | list[int] | list[float]] = {
        "partition": hospital.partition,
        "num-examples": len(hospital.shard),
        "parameters": classifier_of(experiment, problem).layout.parameters,
        "step-seconds": calibration.step_seconds,
        "memory-bytes": calibration.memory_bytes,
    }
    software = ConfigRecord({"code": code_digest()})
    return Message(RecordDict({"hospital": MetricRecord(answer), "software": software}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer with the weights after one local update, and its metrics."""
    weights = weights_of(message.content.array_records["weights"])
    number = message.content.config_records["config"]["round"]
    if type(number) is not int:
        raise TypeError(f"round = {number!r}: a whole number")
    trained, metrics = _hospital(message, context).train(weights, number)
    return Message(
        RecordDict({"weights": weights_record(trained), "metrics": MetricRecord(dict(metrics))}),
        reply_to=message,
    )


@once(keep=4)
def _experiment(items: tuple[tuple[str, Any], ...]) -> Experiment:
    experiment = Experiment.from_run_config(dict(items))
    start_tensorflow(experiment.engine.workers)
    return experiment


def _hospital(message: Message, context: Context) -> Hospital:
    experiment = _experiment(tuple(sorted(context.run_config.items())))
    problem = problem_of(message.content.config_records["config"])
    return Hospital(
        experiment,
        partition_id(context.node_config),
        shard(experiment, context.node_config, problem),
        problem,
    )
