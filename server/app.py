"""The Flower ServerApp: from a study to a run folder."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.edge.export import export
from fedrobust.edge.result import measure_export
from fedrobust.evaluation.robustness import Examples, Robustness, clean_logits
from fedrobust.models.layout import Layout, Weights
from fedrobust.models.recalibration import Recalibration
from fedrobust.report.page import write as write_report
from fedrobust.runs.environment import environment
from fedrobust.runs.events import RoundFinished, RoundStarted, StageStarted, StudyFinished, StudyStarted, emit
from fedrobust.runs.folder import RunFolder
from fedrobust.runtime import start_tensorflow
from fedrobust.simulation.records import weights_of, weights_record
from fedrobust.study import classifier_of, dataset_of, partition_of, recipe_of, rule_of
from server.distiller import Lesson, Student, distil_student, plan_lesson
from server.evaluator import Evaluator
from server.replies import read_introduction
from server.strategy import FederatedStrategy, RoundError

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes, and leave its run folder behind.

    Raises:
        ConfigError, DataError, ModelError: the study cannot be run as written; nothing was trained.
        RoundError: a round had too few replies; the run folder is kept, with what was finished.
    """
    experiment = Experiment.from_run_config(context.run_config)
    with ThreadPoolExecutor(workers_of(experiment), thread_name_prefix="evaluation") as pool:
        Study(experiment, grid, pool).run()


def workers_of(experiment: Experiment) -> int:
    """Return how many clients are trained at a time: as asked, or one a core."""
    return experiment.engine.workers or os.cpu_count() or 1


class Study:
    """One study under way: what its stages hand to one another.

    Args:
        experiment: the study.
        grid: reaches the clients.
        pool: runs the batches of an evaluation.
    """

    def __init__(self, experiment: Experiment, grid: Grid, pool: ThreadPoolExecutor):
        self.experiment = experiment
        self.grid = grid
        self.pool = pool
        self.started = time.perf_counter()
        self.result: dict[str, Any] = {
            "schema": 1,
            "status": "running",
            "error": None,
            "name": experiment.name,
            "experiment": experiment.to_dict(),
            "rounds": [],
            "student": None,
            "export": [],
        }

    def run(self) -> None:
        """Run every stage in turn."""
        experiment = self.experiment
        start_tensorflow(workers_of(experiment))
        rule_of(experiment)
        recipe_of(experiment)
        emit(StageStarted("loading the data"))
        dataset = dataset_of(experiment)
        partition = partition_of(experiment)
        emit(StageStarted("building the model"))
        classifier = classifier_of(experiment)
        weights = classifier.initial_weights()
        lesson = plan_lesson(experiment, dataset) if experiment.distillation.enabled else None

        folder = RunFolder.create(experiment.name, experiment.output.root, experiment.output.dir)
        folder.write_text("experiment.toml", experiment.to_toml())
        partition.write(folder.file("partition.json"))
        self.result["environment"] = environment(workers_of(experiment))
        folder.write_json("environment.json", self.result["environment"])
        self.result["dataset"] = described(dataset)
        self.result["model"] = {
            "name": classifier.name,
            "parameters": classifier.layout.parameters,
            "weights": experiment.model.weights,
            "image-size": experiment.model.image_size,
        }
        emit(
            StudyStarted(
                experiment.name, str(folder.path), experiment.federation.rounds, self.summary(dataset)
            )
        )
        try:
            evaluator = Evaluator.of(experiment, dataset, classifier, self.pool)
            weights = self.federate(folder, evaluator, classifier.layout, weights)
            self.conclude(folder, evaluator, weights, lesson)
        except BaseException as error:
            self.finish(folder, "failed", f"{type(error).__name__}: {error}")
            raise
        self.finish(folder, "finished")

    def federate(self, folder: RunFolder, evaluator: Evaluator, layout: Layout, weights: Weights) -> Weights:
        """Run all rounds and return the weights of the selected one."""
        experiment = self.experiment
        emit(StageStarted("preparing the clients"))
        nodes = introduced(self.grid, layout, experiment.federation.clients)
        strategy = FederatedStrategy(experiment, layout, nodes)
        record = weights_record(weights)
        policy = experiment.model.batchnorm_policy
        recalibrate = Recalibration(evaluator.victim.classifier) if policy == "recalibrate" else None
        best = -np.inf
        for number in range(1, experiment.federation.rounds + 1):
            began = time.perf_counter()
            messages = strategy.configure_train(number, record, ConfigRecord(), self.grid)
            emit(RoundStarted(number, len(messages)))
            replies = self.grid.send_and_receive(messages)
            try:
                record, _ = strategy.aggregate_train(number, replies)
            except RoundError:
                self.note_round(folder, self.round_record(number, strategy, began))
                raise
            current = weights_of(record)
            if recalibrate:
                current = recalibrate(current, evaluator.dataset.validation.images)
                record = weights_record(current)
            trained = time.perf_counter()
            entry = self.round_record(number, strategy, began, self.evaluated(number, evaluator, current))
            entry["training-seconds"] = trained - began
            score = self.score(number, entry)
            if score >= best:
                best, weights = score, current
                self.result["model"]["selected-round"] = number
            self.note_round(folder, entry)
        self.result["model"]["digest"] = weights.digest()
        return weights

    def evaluated(self, number: int, evaluator: Evaluator, weights: Weights) -> dict[str, Any]:
        """Return what is measured after round `number`; every ``evaluation.every`` rounds and after the last."""
        settings, rounds = self.experiment.evaluation, self.experiment.federation.rounds
        measured: dict[str, Any] = {"clean": None, "robust": {}, "validation": None}
        if number % settings.every and number != rounds:
            return measured
        if settings.select == "best":
            measured["validation"] = evaluator.validate(weights).to_json()
        return {**measured, **evaluator.test(weights).to_json()}

    def score(self, number: int, entry: Mapping[str, Any]) -> float:
        """Return what decides which round is kept: its number, or its validation AUC."""
        if self.experiment.evaluation.select == "last":
            return float(number)
        validation = entry["validation"]
        return -np.inf if validation is None or validation["auc"] is None else float(validation["auc"])

    def round_record(
        self,
        number: int,
        strategy: FederatedStrategy,
        began: float,
        measured: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the entry of one round in ``result.json``."""
        measured = measured or {"clean": None, "robust": {}, "validation": None}
        clients = strategy.outcome.to_json() if strategy.outcome else {}
        return {"round": number, **measured, "clients": clients, "seconds": time.perf_counter() - began}

    def note_round(self, folder: RunFolder, entry: dict[str, Any]) -> None:
        """Keep the entry of a round on the disk and tell the listeners."""
        self.result["rounds"].append(entry)
        folder.append_line("metrics.jsonl", entry)
        emit(RoundFinished(entry))

    def conclude(
        self, folder: RunFolder, evaluator: Evaluator, weights: Weights, lesson: Lesson | None
    ) -> None:
        """Evaluate the selected model, distil its student, export it."""
        experiment = self.experiment
        emit(StageStarted("measuring the global model"))
        self.result["model-evaluation"] = self.selected_evaluation(evaluator, weights)
        if experiment.evaluation.examples:
            save_examples(folder, evaluator.examples(weights))
        deployable = evaluator.victim.classifier.deployable(weights)
        folder.write_with("model.keras", deployable.save)
        if lesson is None:
            return
        emit(StageStarted("distilling the student"))
        student = distil_student(experiment, lesson, evaluator, weights)
        taught = Evaluator.of(experiment, evaluator.dataset, student.classifier, self.pool)
        emit(StageStarted("measuring the student"))
        self.result["student"] = {
            "name": student.classifier.name,
            "parameters": student.classifier.layout.parameters,
            **taught.test(student.weights).to_json(),
            "distillation": student.record,
        }
        if experiment.export.enabled:
            emit(StageStarted("exporting the student"))
        self.deploy(folder, taught, student)

    def selected_evaluation(self, evaluator: Evaluator, weights: Weights) -> dict[str, Any]:
        """Return the evaluation of the selected round: the round's own, where it was measured."""
        chosen = self.result["rounds"][self.result["model"]["selected-round"] - 1]
        if chosen["clean"] is not None:
            return {"clean": chosen["clean"], "robust": chosen["robust"]}
        measured: Robustness = evaluator.test(weights)
        return measured.to_json()

    def deploy(self, folder: RunFolder, evaluator: Evaluator, student: Student) -> None:
        """Write the student's Keras file and, if asked for, its LiteRT files with what they are worth."""
        experiment, dataset = self.experiment, evaluator.dataset
        model = student.classifier.deployable(student.weights)
        folder.write_with("student.keras", model.save)
        if not experiment.export.enabled:
            return
        test = dataset.test.images.astype(np.float32) / 255.0
        calibration = dataset.validation.images.astype(np.float32) / 255.0
        files = export(model, folder.path, experiment.export.formats, calibration, stem="student")
        native = evaluator
        if experiment.evaluation.space != "native":
            native = Evaluator.of(native_space(experiment), dataset, student.classifier, self.pool)
        logits = clean_logits(
            native.victim, student.weights, dataset.test.images, experiment.evaluation.batch_size, native.map
        )
        self.result["export"] = [
            measure_export(path, logits, test, dataset.test.labels).to_json() for path in files.values()
        ]

    def finish(self, folder: RunFolder, status: str, error: str | None = None) -> None:
        """Write ``result.json`` and the report, and tell the listeners."""
        self.result.update(status=status, error=error, seconds=time.perf_counter() - self.started)
        folder.write_json("result.json", self.result)
        write_report(folder.path)
        emit(StudyFinished(self.result))

    def summary(self, dataset: Dataset) -> str:
        """Return the study in one line."""
        experiment = self.experiment
        return (
            f"{dataset.name}: {len(dataset.train.labels)} images over {experiment.federation.clients} clients "
            f"({experiment.data.partition}), {experiment.model.name} from {experiment.model.weights} weights"
        )


def native_space(experiment: Experiment) -> Experiment:
    """Return `experiment` with the evaluation in native pixels."""
    return experiment.model_copy(
        update={"evaluation": experiment.evaluation.model_copy(update={"space": "native"})}
    )


def introduced(grid: Grid, layout: Layout, clients: int) -> dict[int, int]:
    """Ask every node who it is; return partition -> node id.

    Raises:
        RoundError: no node answers properly.
    """
    messages = [
        Message(RecordDict(), node, MessageType.QUERY, group_id="0") for node in sorted(grid.get_node_ids())
    ]
    nodes: dict[int, int] = {}
    reasons: list[str] = []
    for reply in grid.send_and_receive(messages):
        partition = read_introduction(reply, layout, clients)
        if isinstance(partition, str):
            reasons.append(partition)
        else:
            nodes.setdefault(partition, reply.metadata.src_node_id)
    if not nodes:
        why = f"; first reason: {reasons[0]}" if reasons else ""
        raise RoundError(f"none of {len(messages)} nodes is ready{why}")
    return nodes


def described(dataset: Dataset) -> dict[str, Any]:
    """Return the data set's entry in ``result.json``."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {
        "name": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "digest": dataset.digest,
        "task": dataset.task,
        "labels": list(dataset.label_names),
        "disease": list(dataset.disease),
        "image-shape": list(dataset.image_shape),
        "samples": {name: len(split.labels) for name, split in splits.items()},
        "counts": {
            name: np.bincount(split.labels, minlength=dataset.classes).tolist()
            for name, split in splits.items()
        },
    }


def save_examples(folder: RunFolder, shown: Examples) -> None:
    """Write ``examples.npz``."""
    folder.write_with(
        "examples.npz",
        lambda path: np.savez_compressed(
            path,
            images=shown.images,
            probabilities=shown.probabilities,
            labels=shown.labels,
            epsilons=shown.epsilons,
            epsilon_names=shown.epsilon_names,
        ),
    )
