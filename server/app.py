"""The Flower ServerApp: from a study to a run folder."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp

from fedrobust.atomic import sweep
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.data.drawing import Drawing
from fedrobust.data.partition import Partition
from fedrobust.edge.export import export
from fedrobust.edge.result import measure_export
from fedrobust.evaluation.robustness import Examples, Robustness, clean_logits
from fedrobust.evasion import WhiteBox
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import Recalibration
from fedrobust.once import once
from fedrobust.plain import MOST_STRING, plain_text
from fedrobust.poisoning import Goal, Scene
from fedrobust.report.page import write as write_report
from fedrobust.runs.checkpoint import Checkpoint, differences, discard_checkpoints
from fedrobust.runs.console import ConsoleListener
from fedrobust.runs.environment import environment
from fedrobust.runs.events import (
    ForecastMade,
    RoundFinished,
    RoundStarted,
    StageStarted,
    StudyFinished,
    StudyResumed,
    StudyStarted,
    anybody_listens,
    emit,
    listening,
)
from fedrobust.runs.folder import RunFolder
from fedrobust.runtime import start_tensorflow
from fedrobust.simulation.exchange import exchange
from fedrobust.simulation.grid import SimulatedGrid
from fedrobust.simulation.records import weights_of, weights_record
from fedrobust.study import (
    Problem,
    attack_of,
    dataset_of,
    defence_of,
    evasion_of,
    initial_model,
    malicious_of,
    partition_of,
    recipe_of,
    server_optimizer_of,
)
from server.auditor import UNDEFENDED, audited, audited_student, check_control
from server.defender import Defender
from server.distiller import Lesson, Student, distil_student, plan_lesson, twin_of
from server.evaluator import Evaluator
from server.forecaster import check_aggregation, evaluation_threads, forecast_of
from server.population import population_of
from server.root import check_root, root_of
from server.strategy import FederatedStrategy, RoundError

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the study that the run config describes, or go on with it, and leave its run folder behind.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written; nothing was trained.
        RoundError: a round had too few replies; the run folder is kept, with what was finished.
    """
    experiment = Experiment.from_run_config(context.run_config)
    # On Flower's own carriers nobody listens yet: what the server's process prints is what its user sees.
    console = nullcontext() if anybody_listens() else ConsoleListener()
    with (
        console as listener,
        listening(*[listener] if listener else []),
        ThreadPoolExecutor(evaluation_threads(experiment), thread_name_prefix="evaluation") as pool,
    ):
        Study(experiment, grid, pool).run()


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
        self.saved = 0
        self.result: dict[str, Any] = {
            "schema": 1,
            "status": "running",
            "error": None,
            "name": experiment.name,
            "experiment": experiment.to_dict(),
            "rounds": [],
            "resumed-after": [],
            "audit": None,
            "student": None,
            "export": [],
            "seconds": 0.0,
        }

    def run(self) -> None:
        """Run every stage in turn."""
        experiment = self.experiment
        start_tensorflow(evaluation_threads(experiment))
        defence_of(experiment)
        server_optimizer_of(experiment)
        attack_of(experiment)
        recipe_of(experiment)
        evasion_of(experiment)
        emit(StageStarted("loading the data"))
        dataset = dataset_of(experiment)
        partition = partition_of(experiment)
        check_root(experiment, dataset)
        check_control(experiment, dataset)
        emit(StageStarted("building the model"))
        classifier, weights = initial_model(experiment)
        check_aggregation(experiment, classifier.layout)
        lesson = plan_lesson(experiment, dataset) if experiment.distillation.enabled else None
        self.result["environment"] = environment(self.workers)
        self.result["dataset"] = described(dataset)
        self.result["model"] = {
            "name": classifier.name,
            "parameters": classifier.layout.parameters,
            "weights": experiment.model.weights,
            "image-size": experiment.model.image_size,
        }
        output = experiment.output
        if output.resume:
            folder = RunFolder.open(output.dir)
        else:
            folder = RunFolder.create(experiment.name, output.root, output.dir)
        with folder.locked():
            if output.resume:
                state = self.restored(folder, dataset, partition)
            else:
                state = Checkpoint(0, weights, weights, -np.inf, experiment.base, self.result)
                folder.write_text("experiment.toml", experiment.to_toml())
                partition.write(folder.file("partition.json"))
                folder.write_json("environment.json", self.result["environment"])
            self.announce(folder, dataset, state)
            self.run_in(folder, Evaluator.of(experiment, dataset, classifier, self.pool), state, lesson)

    def run_in(
        self, folder: RunFolder, evaluator: Evaluator, state: Checkpoint, lesson: Lesson | None
    ) -> None:
        """Run what is left of the study in its folder."""
        try:
            state.save(folder)
            self.saved = state.round
            weights = self.federate(folder, evaluator, state)
            self.conclude(folder, evaluator, weights, lesson)
        except KeyboardInterrupt:
            # The report waits for a finished run: whoever pressed a key wants to be gone.
            self.result["rounds"] = self.result["rounds"][: self.saved]
            self.note_status(folder, "stopped", f"stopped after {self.saved} rounds")
            raise
        except BaseException as error:
            try:
                self.finish(folder, "failed", plain_text(f"{type(error).__name__}: {error}", MOST_STRING))
            except (
                Exception
            ) as second:  # what is told is why the study failed, not why that could not be written
                error.add_note(
                    f"its record cannot be written: {plain_text(f'{type(second).__name__}: {second}')}"
                )
            raise
        self.finish(folder, "finished")
        discard_checkpoints(folder)

    @property
    def workers(self) -> int:
        """How many clients are trained at a time, as far as the server knows."""
        return self.grid.workers if isinstance(self.grid, SimulatedGrid) else 0

    def restored(self, folder: RunFolder, dataset: Dataset, partition: Partition | Drawing) -> Checkpoint:
        """Return where the run in `folder` stopped, having checked that it is this study's.

        Raises:
            ConfigError: the study, the data or the partition is another than the run's.
        """
        sweep(folder.path)
        checkpoint = Checkpoint.latest(folder)
        changed = differences(checkpoint, self.experiment)
        if changed:
            raise ConfigError(
                f"{folder.path}: the run was started with other values of {', '.join(changed)}: a resumed run may "
                "change [engine] and [output] only"
            )
        before = checkpoint.result
        if before["dataset"]["digest"] != dataset.digest:
            raise ConfigError(
                f"{folder.path}: {dataset.name} has digest {dataset.digest[:12]}, the run was started on "
                f"{before['dataset']['digest'][:12]}: the data changed"
            )
        if folder.read_table("partition.json").get("hash") != partition.hash:
            raise ConfigError(f"{folder.path}: partition.json is not the partition of this study")
        now = self.result["environment"]
        moved = [
            name for name in ("tensorflow", "keras", "numpy") if before["environment"][name] != now[name]
        ]
        if moved:
            versions = ", ".join(f"{name} {before['environment'][name]} -> {now[name]}" for name in moved)
            emit(StageStarted(f"resuming with other packages, so the bits may differ: {versions}"))
        self.started -= before["seconds"]
        self.result = {**dict(before), "status": "running", "error": None, "environment": now}
        self.result["resumed-after"] = [*before["resumed-after"], checkpoint.round]
        # A round that was noted but not checkpointed is run again.
        folder.write_lines("metrics.jsonl", self.result["rounds"])
        return checkpoint

    def announce(self, folder: RunFolder, dataset: Dataset, state: Checkpoint) -> None:
        """Tell the listeners that the study begins or goes on."""
        experiment = self.experiment
        rounds = experiment.federation.rounds
        emit(StudyStarted(experiment.name, str(folder.path), rounds, self.summary(dataset)))
        if experiment.output.resume:
            emit(StudyResumed(state.round))

    def federate(self, folder: RunFolder, evaluator: Evaluator, state: Checkpoint) -> Weights:
        """Run the rounds that are left and return the weights of the selected one."""
        experiment = self.experiment
        rounds = experiment.federation.rounds
        if state.round < rounds:
            strategy = self.prepared(evaluator)
            strategy.defender.memory = state.memory
            policy = experiment.model.batchnorm_policy
            recalibrate = recalibration_of(evaluator.classifier) if policy == "recalibrate" else None
            for number in range(state.round + 1, rounds + 1):
                state = self.round(number, state, strategy, evaluator, recalibrate, folder)
        self.result["model"]["digest"] = state.selected.digest()
        return state.selected

    def prepared(self, evaluator: Evaluator) -> FederatedStrategy:
        """Have the clients get ready, and tell what a round will cost.

        Raises:
            DoesNotFitError: a round needs more memory than there is.
        """
        experiment, layout = self.experiment, evaluator.classifier.layout
        problem = Problem.of(evaluator.dataset)
        emit(StageStarted("preparing the clients"))
        population = population_of(self.grid, experiment, problem, layout)
        for reason in population.refused:
            emit(StageStarted(f"a node is left out: {reason}"))
        known, wanted = len(population.partitions), experiment.federation.clients
        if known < wanted:
            emit(StageStarted(f"{known} of {wanted} clients have a node: the others take no part"))
        rare = rare_hospitals(experiment) if malicious_of(experiment) else ()
        defender = Defender(experiment, root_of(experiment, evaluator.dataset), rare)
        strategy = FederatedStrategy(experiment, layout, problem, population, defender)
        forecast = forecast_of(experiment, evaluator.dataset, layout, strategy, self.workers)
        self.result["forecast"] = forecast.to_json()
        emit(ForecastMade(forecast.line(), forecast.to_json(), forecast.rows()))
        forecast.check()
        return strategy

    def round(
        self,
        number: int,
        state: Checkpoint,
        strategy: FederatedStrategy,
        evaluator: Evaluator,
        recalibrate: Recalibration | None,
        folder: RunFolder,
    ) -> Checkpoint:
        """Run one round from where `state` is, and return where it ends."""
        began = time.perf_counter()
        record = weights_record(state.weights)
        messages = strategy.configure_train(number, record, ConfigRecord(), self.grid)
        emit(RoundStarted(number, len(messages)))
        replies = exchange(self.grid, messages, self.experiment.engine.client_timeout)
        try:
            record, _ = strategy.aggregate_train(number, replies)
        except RoundError:
            entry = self.round_record(number, strategy, began)
            self.result["rounds"].append(entry)
            folder.append_line("metrics.jsonl", entry)
            emit(RoundFinished(entry))
            raise
        training_seconds = time.perf_counter() - began
        weights = weights_of(record)
        if recalibrate:
            weights = recalibrate(weights, evaluator.dataset.validation.images)
        kept = strategy.outcome.kept if strategy.outcome else ""
        if strategy.defender.malicious and not kept and not evaluator.is_sound(weights):
            kept = f"round {number}: the new model answers with numbers that are not finite"
        if kept:
            emit(StageStarted(f"the global model stays as it was: {kept}"))
            weights = state.weights
        entry = self.round_record(number, strategy, began, self.evaluated(number, evaluator, weights))
        entry["kept"] = kept or None
        entry["training-seconds"] = training_seconds
        score, selected, best = self.score(number, entry), state.selected, state.score
        if score >= best:
            selected, best = weights, score
            self.result["model"]["selected-round"] = number
        self.result["rounds"].append(entry)
        self.result["seconds"] = time.perf_counter() - self.started
        reached = Checkpoint(
            number, weights, selected, best, state.base, self.result, strategy.defender.memory
        )
        if number + 1 == self.experiment.training.recipe_from:
            folder.write_with(UNDEFENDED, evaluator.classifier.deployable(weights).save)
        # What is told is kept: a round that anyone has heard of is not run again.
        reached.save(folder)
        self.saved = number
        folder.append_line("metrics.jsonl", entry)
        emit(RoundFinished(entry))
        return reached

    def evaluated(self, number: int, evaluator: Evaluator, weights: Weights) -> dict[str, Any]:
        """Return what is measured after round `number`; every ``evaluation.every`` rounds and after the last."""
        settings, rounds = self.experiment.evaluation, self.experiment.federation.rounds
        measured: dict[str, Any] = {"clean": None, "robust": {}, "validation": None}
        last = number == rounds
        if number % settings.every and not last:
            return measured
        attacked = last or not settings.attack_every or number % settings.attack_every == 0
        if settings.select == "best":
            measured["validation"] = evaluator.validate(weights).to_json()
        goal = goal_of(self.experiment, evaluator.dataset)
        found = evaluator.test(weights, attacked).to_json()
        return {
            **measured,
            **found,
            "worst-client": worst_clients(self.experiment, evaluator.dataset, found),
            "pgd-probe": evaluator.probe(weights),
            "attack-success": None if goal is None else evaluator.success(weights, goal),
        }

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
        outcome = strategy.outcome
        return {
            "round": number,
            **measured,
            "clients": outcome.to_json() if outcome else {},
            "defence": outcome.defence if outcome else None,
            "seconds": time.perf_counter() - began,
        }

    def conclude(
        self, folder: RunFolder, evaluator: Evaluator, weights: Weights, lesson: Lesson | None
    ) -> None:
        """Evaluate the selected model, distil its student, export it."""
        experiment = self.experiment
        emit(StageStarted("measuring the global model"))
        self.result["model-evaluation"] = self.selected_evaluation(evaluator, weights)
        if experiment.evaluation.examples:
            save_examples(folder, evaluator.examples(weights))
        deployable = evaluator.classifier.deployable(weights)
        folder.write_with("model.keras", deployable.save)
        if experiment.audit.enabled:
            emit(StageStarted("auditing the global model"))
            card = audited(experiment, evaluator, weights, self.result, folder)
            folder.write_json("card.json", card.content)
            self.result["audit"] = card.content
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
            "audit": None,
        }
        if experiment.audit.student:
            emit(StageStarted("auditing the student"))
            twin = twin_of(experiment, lesson)
            teacher = WhiteBox.of(evaluator.victim, weights, experiment.evaluation.batch_size)
            card = audited_student(experiment, taught, student.weights, twin, teacher, self.result, folder)
            folder.write_json("card-student.json", card.content)
            self.result["student"]["audit"] = card.content
        if experiment.export.enabled:
            emit(StageStarted("exporting the student"))
        self.deploy(folder, taught, student)

    def selected_evaluation(self, evaluator: Evaluator, weights: Weights) -> dict[str, Any]:
        """Return the evaluation of the selected round: the round's own, where it was measured."""
        chosen = self.result["rounds"][self.result["model"]["selected-round"] - 1]
        if chosen["clean"] is not None and (chosen["robust"] or not self.experiment.evaluation.attacks):
            return {key: chosen.get(key) for key in ("clean", "robust", "attack-success")}
        measured: Robustness = evaluator.test(weights)
        goal = goal_of(self.experiment, evaluator.dataset)
        success = None if goal is None else evaluator.success(weights, goal)
        return {**measured.to_json(), "attack-success": success}

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
        self.note_status(folder, status, error)
        if self.experiment.output.report:
            write_report(folder.path)
        emit(StudyFinished(self.result))

    def note_status(self, folder: RunFolder, status: str, error: str | None = None) -> None:
        """Write ``result.json``."""
        self.result.update(status=status, error=error, seconds=time.perf_counter() - self.started)
        # What made a study fail may stand in its record, and must not keep it from being written.
        write = folder.write_json if status == "finished" else folder.write_whatever
        write("result.json", self.result)

    def summary(self, dataset: Dataset) -> str:
        """Return the study in one line."""
        experiment = self.experiment
        malicious = malicious_of(experiment)
        attacked = f"; {len(malicious)} malicious: {experiment.poisoning.attack}" if malicious else ""
        return (
            f"{dataset.name}: {len(dataset.train.labels)} images over {experiment.federation.clients} clients "
            f"({experiment.data.partition}), {experiment.model.name} from {experiment.model.weights} weights{attacked}"
        )


@once()
def recalibration_of(classifier: Classifier) -> Recalibration:
    """Return what measures BatchNorm's statistics, shared by the studies of a process."""
    return Recalibration(classifier)


RARE = 0.3
"""Total variation distance to everybody's labels from which on a hospital's patients are unlike the others'."""

MOST_COMPARED = 10_000


def rare_hospitals(experiment: Experiment) -> list[int]:
    """Return the honest clients whose share of each class is far from the whole federation's.

    A rule that looks for outliers finds them, too: what it does to them is told apart.
    """
    if experiment.federation.clients > MOST_COMPARED:
        return []
    shards, labels = partition_of(experiment).shards, dataset_of(experiment).train.labels
    classes = dataset_of(experiment).classes
    counts = np.array([np.bincount(labels[shard], minlength=classes) for shard in shards], np.float64)
    apart = np.abs(counts / counts.sum(1, keepdims=True) - counts.sum(0) / counts.sum()).sum(1) / 2
    malicious = set(malicious_of(experiment))
    return [int(client) for client in np.flatnonzero(apart >= RARE) if client not in malicious]


def worst_clients(
    experiment: Experiment, dataset: Dataset, measured: Mapping[str, Any]
) -> dict[str, dict[str, Any]] | None:
    """Return the client whose mix of classes the model serves worst, clean and at every attack's largest epsilon.

    A client's figure is the recall of each class on the test split, weighted by its share of the client's training
    images: the accuracy that it may expect among its own patients, if they come as they came. None for populations
    that are drawn on demand.
    """
    if experiment.federation.clients > MOST_COMPARED:
        return None
    shards, labels = partition_of(experiment).shards, dataset.train.labels
    counts = np.array([np.bincount(labels[shard], minlength=dataset.classes) for shard in shards], np.float64)
    mixes = counts / counts.sum(axis=1, keepdims=True)
    last = {attack: list(curve.items())[-1] for attack, curve in measured["robust"].items() if curve}
    tables = {
        "clean": measured["clean"],
        **{f"{attack} {name}": metrics for attack, (name, metrics) in last.items()},
    }
    worst = {}
    for name, metrics in tables.items():
        recall = np.array([np.nan if value is None else value for value in metrics["recall"]])
        known = np.where(np.isnan(recall), 0.0, mixes)
        weight = known.sum(axis=1)
        expected = np.divide(
            np.nan_to_num(recall) @ known.T, weight, out=np.ones_like(weight), where=weight > 0
        )
        client = int(expected.argmin())
        worst[name] = {"client": client, "accuracy": float(expected[client]), "mean": float(expected.mean())}
    return worst


def goal_of(experiment: Experiment, dataset: Dataset) -> Goal | None:
    """Return the test images by which the study's poisoning attack is judged, None where it has no aim."""
    scene = Scene(classes=dataset.classes, seed=experiment.seed)
    return attack_of(experiment).goal(dataset.test, scene)


def native_space(experiment: Experiment) -> Experiment:
    """Return `experiment` with the evaluation in native pixels."""
    return experiment.model_copy(
        update={"evaluation": experiment.evaluation.model_copy(update={"space": "native"})}
    )


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
