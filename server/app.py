"""The Flower ServerApp: from a study to a run folder."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message
from flwr.serverapp import Grid, ServerApp

from fedrobust.aggregation import Memory
from fedrobust.atomic import sweep
from fedrobust.checks import check
from fedrobust.config import ConfigError, Experiment
from fedrobust.config.resolve import attack_of
from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.data.dataset import Dataset, Problem
from fedrobust.data.partition import Partition
from fedrobust.data.partition.drawn import Drawing
from fedrobust.edge.export import export
from fedrobust.edge.result import measure_export
from fedrobust.errors import FedrobustError
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.evaluation.robustness import Examples, Robustness, clean_logits
from fedrobust.evasion import WhiteBox
from fedrobust.flower.records import weights_of, weights_record
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import Recalibration
from fedrobust.once import once
from fedrobust.plain import MOST_STRING, plain_text
from fedrobust.poisoning import Goal, Scene
from fedrobust.report.page import write as write_report
from fedrobust.runs.checkpoint import Checkpoint, differences, discard_checkpoints
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
from fedrobust.runs.folder import RunFolder, UnwritableRunError
from fedrobust.runs.record import SCHEMA
from fedrobust.runtime import start_tensorflow
from fedrobust.shares import sample_size
from fedrobust.simulation.exchange import exchange
from fedrobust.simulation.grid import SimulatedGrid
from fedrobust.study import dataset_of, initial_model, partition_of
from fedrobust.terminal.run import ConsoleListener
from server.aggregation_step import AggregationStep
from server.client_registry import registry_of
from server.errors import AttackFailedError, RoundError
from server.federation import FederatedStrategy
from server.forecast import check_aggregation, evaluation_threads, forecast_of
from server.root_update import root_update_of
from server.soundness import weights_fault
from server.stages.audit import UNDEFENDED, audited, audited_student, check_control
from server.stages.distillation import DistillationPlan, Student, distil_student, plan_distillation, twin_of
from server.stages.evaluation import Evaluator
from server.tolerance import tolerance_of

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
        ThreadPoolExecutor(evaluation_threads(experiment), thread_name_prefix="evaluation") as pool,
    ):
        Study(experiment, grid, pool).run()


class UnmeasurableError(FedrobustError, ValueError):
    """The model that a study ends with answers with numbers that are not finite."""


@dataclass(frozen=True, eq=False)
class Made:
    """What became of a round: the next global model, or the one before.

    Attributes:
        weights: of the global model from now on.
        memory: what rules and the server optimiser remember from now on.
        kept: why both are those of the round before, "" where they are new.
        failed: no new model could be made at all; see `Study.round`.
    """

    weights: Weights
    memory: Memory
    kept: str = ""
    failed: bool = False


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
            "schema": SCHEMA,
            "status": "running",
            "error": None,
            "name": experiment.name,
            "experiment": experiment.to_dict(),
            "rounds": [],
            "resumed-after": [],
            "tolerance": None,
            "remarks": remarks_of(experiment),
            "audit": None,
            "student": None,
            "export": [],
            "seconds": 0.0,
        }

    def run(self) -> None:
        """Run every stage in turn."""
        experiment = self.experiment
        start_tensorflow(evaluation_threads(experiment))
        emit(StageStarted("loading the data"))
        check(experiment)
        dataset = dataset_of(experiment)
        partition = partition_of(experiment)
        check_control(experiment, dataset)
        emit(StageStarted("building the model"))
        classifier, weights = initial_model(experiment)
        check_aggregation(experiment, classifier.layout)
        lesson = plan_distillation(experiment, dataset) if experiment.distillation.enabled else None
        self.result["tolerance"] = tolerance_of(experiment)
        self.result["environment"] = environment(self.workers)
        self.result["dataset"] = described(dataset)
        self.result["model"] = {
            "name": classifier.name,
            "parameters": classifier.layout.parameters,
            "weights": experiment.model.weights,
            "image-size": experiment.model.image_size,
            "selected-round": None,
        }
        output = experiment.output
        if output.resume:
            folder = RunFolder.open(output.dir)
        else:
            folder = RunFolder.create(experiment.name, output.root, output.dir)
        with folder.locked(), writing(folder):
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
        self, folder: RunFolder, evaluator: Evaluator, state: Checkpoint, lesson: DistillationPlan | None
    ) -> None:
        """Run what is left of the study in its folder."""
        try:
            with writing(folder):
                state.save(folder)
                self.saved = state.round
                weights = self.federate(folder, evaluator, state)
                self.conclude(folder, evaluator, weights, lesson)
        except KeyboardInterrupt:
            # The report waits for a finished run: whoever pressed a key wants to be gone.
            self.result["rounds"] = self.result["rounds"][: self.saved]
            rounds = self.experiment.federation.rounds
            self.note_status(folder, "stopped", f"stopped after {self.saved} of {rounds} rounds")
            raise
        except BaseException as error:
            self.give_up(folder, error)
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
        emit(
            StudyStarted(
                experiment.name,
                str(folder.path),
                rounds,
                self.summary(dataset, partition_of(experiment)),
                tuple(self.result.get("remarks", ())),
                stages_after_rounds(experiment),
            )
        )
        if experiment.output.resume:
            emit(StudyResumed(state.round))

    def federate(self, folder: RunFolder, evaluator: Evaluator, state: Checkpoint) -> Weights:
        """Run the rounds that are left and return the weights of the selected one."""
        experiment = self.experiment
        rounds = experiment.federation.rounds
        if state.round < rounds:
            strategy = self.prepared(evaluator)
            policy = experiment.model.batchnorm_policy
            recalibrate = None
            if policy == "recalibrate":
                sample = calibration_sample(evaluator.dataset.validation, experiment.seed)
                recalibrate = partial(recalibration_of(evaluator.classifier), images=sample.images)
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
        population = registry_of(self.grid, experiment, problem, layout)
        for reason in population.refused:
            emit(StageStarted(f"a node is left out: {reason}"))
        known, wanted = len(population.partitions), experiment.federation.clients
        if known < wanted:
            emit(StageStarted(f"{known} of {wanted} clients have a node: the others take no part"))
        rare = rare_hospitals(experiment) if experiment.malicious else ()
        defender = AggregationStep(experiment, root_update_of(experiment, evaluator.dataset), rare)
        strategy = FederatedStrategy(experiment, layout, problem, population, defender)
        forecast = forecast_of(
            experiment, evaluator.dataset, layout, strategy, self.workers, evaluator.classifier
        )
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
        recalibrate: Callable[[Weights], Weights] | None,
        folder: RunFolder,
    ) -> Checkpoint:
        """Run one round from where `state` is, and return where it ends.

        A round whose model cannot be used leaves everything as it was: weights, statistics, what rules and the server
        optimiser remember. It is told, and the study goes on: no update may end it.

        A round of which no model could be made at all, because too few good replies are left, has failed. One such
        round may be chance, or the work of attackers, who must not be able to stop a study; but a study that makes no
        model any more must not look as if it went on. So ``federation.patience`` failed rounds in a row stop it, or as
        many as it has rounds. This does not depend on whether the study knows of attackers.

        Raises:
            RoundError: the study stops for that. The last failed round has no checkpoint: a resumed run tries it again.
            AttackFailedError: an attack did not run as it was asked to.
        """
        began = time.perf_counter()
        strategy.memory = state.memory
        messages = strategy.configure_train(number, weights_record(state.weights), ConfigRecord(), self.grid)
        emit(RoundStarted(number, len(messages)))
        replies = exchange(self.grid, messages, self.experiment.engine.client_timeout)
        try:
            made = self.made(number, state, strategy, evaluator, recalibrate, replies)
        except AttackFailedError as error:
            self.note_round(
                folder, self.round_record(number, strategy, began, Made(*_same(state), str(error)))
            )
            raise
        if made.failed:
            self.stop_after_failures(number, folder, self.round_record(number, strategy, began, made))
        training_seconds = time.perf_counter() - began
        entry = self.round_record(
            number, strategy, began, made, self.evaluated(number, evaluator, made.weights)
        )
        if not (entry["defence"] or {}).get("valid", True):
            entry["attack-success"] = None
        entry["training-seconds"] = training_seconds
        score, selected, best = self.score(number, entry), state.selected, state.score
        if not made.kept and score >= best:
            selected, best = made.weights, score
            self.result["model"]["selected-round"] = number
        self.result["rounds"].append(entry)
        self.result["seconds"] = time.perf_counter() - self.started
        reached = Checkpoint(number, made.weights, selected, best, state.base, self.result, made.memory)
        if number + 1 == self.experiment.training.recipe_from:
            folder.write_with(UNDEFENDED, evaluator.classifier.deployable(made.weights).save)
        # What is told is kept: a round that anyone has heard of is not run again.
        reached.save(folder)
        self.saved = number
        folder.append_line("metrics.jsonl", entry)
        emit(RoundFinished(entry))
        return reached

    def made(
        self,
        number: int,
        state: Checkpoint,
        strategy: FederatedStrategy,
        evaluator: Evaluator,
        recalibrate: Callable[[Weights], Weights] | None,
        replies: Iterable[Message],
    ) -> Made:
        """Return what the replies of a round come to: a model that can be used, or the one before and why.

        Raises:
            AttackFailedError: an attack did not run as it was asked to.
        """
        try:
            record, _ = strategy.aggregate_train(number, replies)
        except AttackFailedError:
            raise
        except RoundError as error:
            return Made(*_same(state), str(error), failed=True)
        assert strategy.outcome is not None
        weights, layout = weights_of(record), evaluator.classifier.layout
        fault = strategy.outcome.fault or weights_fault(weights, layout)
        if not fault and recalibrate:
            weights = recalibrate(weights)
            fault = weights_fault(weights, layout)
        fault = fault or evaluator.fault(weights)
        if fault:
            return Made(*_same(state), f"round {number}: {fault}")
        return Made(weights, strategy.outcome.memory)

    def stop_after_failures(self, number: int, folder: RunFolder, entry: dict[str, Any]) -> None:
        """Stop the study if `entry` is one failed round in a row too many.

        Raises:
            RoundError: it is; the message has the reason of the first of them.
        """
        federation = self.experiment.federation
        row = [entry]
        for before in reversed(self.result["rounds"]):
            if not before.get("failed"):
                break
            row.append(before)
        if len(row) < min(federation.patience, federation.rounds):
            return
        self.note_round(folder, entry)
        more = "" if len(row) == 1 else f"; and no better in any round up to {number}"
        raise RoundError(f"{row[-1]['kept']}{more} (federation.patience = {federation.patience})")

    def note_round(self, folder: RunFolder, entry: dict[str, Any]) -> None:
        """Tell of a round with which the study stops."""
        self.result["rounds"].append(entry)
        folder.append_line("metrics.jsonl", entry)
        emit(RoundFinished(entry))

    def evaluated(self, number: int, evaluator: Evaluator, weights: Weights) -> dict[str, Any]:
        """Return what is measured after round `number`; every ``evaluation.every`` rounds and after the last."""
        settings, rounds = self.experiment.evaluation, self.experiment.federation.rounds
        measured = dict(UNMEASURED)
        last = number == rounds
        if number % settings.every and not last:
            return measured
        attacked = last or not settings.attack_every or number % settings.attack_every == 0
        goal = goal_of(self.experiment, evaluator.dataset)
        try:
            if settings.select == "best":
                measured["validation"] = evaluator.validate(weights).to_json()
            found = evaluator.test(weights, attacked).to_json()
        except NotFiniteError as error:  # weights that pass `Evaluator.fault` and overflow on other images
            return {**UNMEASURED, "unmeasured": str(error)}
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
        made: Made,
        measured: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the entry of one round in ``result.json``."""
        outcome = strategy.outcome
        return {
            "round": number,
            **(UNMEASURED if measured is None else measured),
            "clients": outcome.to_json() if outcome else {},
            "defence": outcome.defence if outcome else None,
            "kept": made.kept or None,
            "failed": made.failed,
            "seconds": time.perf_counter() - began,
        }

    def conclude(
        self, folder: RunFolder, evaluator: Evaluator, weights: Weights, lesson: DistillationPlan | None
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
        """Return the evaluation of the selected round: the round's own, where it was measured.

        The attack's success is None where it did not run as asked in any of the rounds.

        Raises:
            UnmeasurableError: its model answers with numbers that are not finite.
        """
        rounds, selected = self.result["rounds"], self.result["model"]["selected-round"]
        chosen = rounds[selected - 1] if selected else UNMEASURED
        ran = all((entry["defence"] or {}).get("valid", True) for entry in rounds)
        if chosen["clean"] is not None and (chosen["robust"] or not self.experiment.evaluation.attacks):
            found = {key: chosen.get(key) for key in ("clean", "robust", "attack-success")}
            return found if ran else {**found, "attack-success": None}
        try:
            measured: Robustness = evaluator.test(weights)
        except NotFiniteError as error:
            raise UnmeasurableError(f"the selected model cannot be measured: {error}") from error
        goal = goal_of(self.experiment, evaluator.dataset) if ran else None
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
        sample = calibration_sample(dataset.validation, experiment.seed)
        calibration = sample.images.astype(np.float32) / 255.0
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

    def give_up(self, folder: RunFolder, error: BaseException) -> None:
        """Finish a study that failed, as far as that can be written: what is told is why it failed."""
        try:
            self.finish(folder, "failed", plain_text(f"{type(error).__name__}: {error}", MOST_STRING))
        except Exception as second:
            error.add_note(
                f"its record cannot be written: {plain_text(f'{type(second).__name__}: {second}')}"
            )
            emit(StudyFinished(self.result))

    def note_status(self, folder: RunFolder, status: str, error: str | None = None) -> None:
        """Write ``result.json``."""
        self.result.update(status=status, error=error, seconds=time.perf_counter() - self.started)
        # What made a study fail may stand in its record, and must not keep it from being written.
        write = folder.write_json if status == "finished" else folder.write_whatever
        write("result.json", self.result)

    def summary(self, dataset: Dataset, partition: Partition | Drawing) -> str:
        """Return the study in one line."""
        experiment = self.experiment
        malicious = experiment.malicious
        attacked = f"; {len(malicious)} malicious: {experiment.poisoning.attack}" if malicious else ""
        return (
            f"{dataset.name}: {len(dataset.train.labels)} images over {experiment.federation.clients} clients "
            f"({experiment.data.partition}; {partition.unevenness}), "
            f"{experiment.model.name} from {experiment.model.weights} weights{attacked}"
        )


UNMEASURED: Mapping[str, Any] = {"clean": None, "robust": {}, "validation": None}
"""What a round's entry has where its model was not measured."""


def _same(state: Checkpoint) -> tuple[Weights, Memory]:
    return state.weights, state.memory


@contextmanager
def writing(folder: RunFolder) -> Iterator[None]:
    """Say in a sentence that a run folder cannot be written, whichever file it was.

    Raises:
        UnwritableRunError: a disk is full, read-only or broken.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        begun = any(folder.file("checkpoints").glob("round-*.npz"))
        what = f"go on with: fedrobust run --resume {folder.path}" if begun else "start the study anew"
        raise UnwritableRunError(
            f"{folder.path}: a file of the run cannot be written: {error.strerror or error}; what is in the folder is "
            f"whole: make room, then {what}"
        ) from error


@once()
def recalibration_of(classifier: Classifier) -> Recalibration:
    """Return what measures BatchNorm's statistics, shared by the studies of a process."""
    return Recalibration(classifier)


def stages_after_rounds(experiment: Experiment) -> tuple[str, ...]:
    """Return what follows the rounds of a study and takes time."""
    student = experiment.distillation.enabled
    stages = {
        "the audit": experiment.audit.enabled,
        "the student": student,
        "its export": student and experiment.export.enabled,
    }
    return tuple(name for name, wanted in stages.items() if wanted)


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
    malicious = set(experiment.malicious)
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


def remarks_of(experiment: Experiment) -> list[str]:
    """Return what a user should know of the poisoning attack before the first round: that it is weak here, say."""
    federation, malicious = experiment.federation, experiment.malicious
    if not malicious:
        return []
    sampled = sample_size(federation.participation, federation.clients)
    return attack_of(experiment.poisoning, experiment.base).remarks(
        Scene(malicious=len(malicious), clients=federation.clients, sampled=sampled)
    )


def goal_of(experiment: Experiment, dataset: Dataset) -> Goal | None:
    """Return the test images by which the study's poisoning attack is judged, None where it has no aim."""
    scene = Scene(classes=dataset.classes, seed=experiment.seed)
    return attack_of(experiment.poisoning, experiment.base).goal(dataset.test, scene)


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
