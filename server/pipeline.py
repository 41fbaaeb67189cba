"""The stages of a study in order: check, build, federate, evaluate, audit, distil, export, report."""

from dataclasses import replace
from functools import partial

import numpy as np

from fedrobust.checks import check
from fedrobust.deployment.deployable import check_deployable
from fedrobust.deployment.keys import site_names
from fedrobust.models.layout import Weights
from fedrobust.plain import MOST_STRING, plain_text
from fedrobust.report.page import write as write_report
from fedrobust.runs.checkpoint import Checkpoint, discard_checkpoints
from fedrobust.runs.durability import durability_of
from fedrobust.runs.events import (
    ForecastMade,
    StageStarted,
    StudyFinished,
    StudyResumed,
    StudyStarted,
    emit,
)
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.privacy_page import privacy_page
from fedrobust.runs.record import ModelEvaluationRecord, RunRecord
from fedrobust.runs.round_log import RoundLog
from fedrobust.runtime import start_tensorflow
from fedrobust.training.distillation_methods.contract import attacks_on_student
from server.beginning import note_beginning
from server.forecast import evaluation_threads
from server.parts import ServerParts
from server.promises import check_absent, check_promises, repeated_rounds
from server.recorder import Recorder
from server.resumption import resumed
from server.shared_rounds import attacked
from server.sites import changed, sites_record, tell_of_absent, together
from server.stages.distillation import Student
from server.stages.evaluation import Evaluator
from server.stages.examples import save_examples
from server.stages.export import export_student
from server.stages.hospitals import hospitals_record
from server.stages.removal import cleansed
from server.stages.selected import selected_evaluation
from server.stages.student_record import student_record
from server.stages.teachers import taught
from server.surrogates import check_surrogates
from server.writing import writing


class Pipeline:
    """One run of a study.

    Args:
        parts: its parts.
    """

    def __init__(self, parts: ServerParts):
        self.parts = parts
        self.experiment = parts.study.experiment
        self.recorder = Recorder(self.experiment.name, self.experiment.to_dict(), parts.remarks())

    @property
    def record(self) -> RunRecord:
        """The record that ``result.json`` will hold."""
        return self.recorder.run

    def run(self) -> None:
        """Run every stage in turn."""
        experiment, parts = self.experiment, self.parts
        start_tensorflow(evaluation_threads(experiment.engine))
        emit(StageStarted("loading the data"))
        check(parts.study)
        if site_names() is not None:
            check_deployable(experiment)
        if parts.auditor is not None:
            parts.auditor.check_control(parts.study.dataset)
        check_surrogates(parts.study)
        emit(StageStarted("building the model"))
        classifier, weights = parts.initial
        parts.check_memory()
        check_promises(parts)
        # Wrong settings of these raise before training.
        _ = parts.selection, parts.client_comparison, parts.central_baseline, parts.distillation
        note_beginning(self.recorder, parts, classifier)
        output = experiment.output
        if output.resume:
            folder = RunFolder.open(output.dir)
        else:
            folder = RunFolder.create(experiment.name, output.root, output.dir)
        with folder.locked(), writing(folder):
            state = resumed(parts, self.recorder, folder) if output.resume else self.begun(folder, weights)
            self.announce(folder, state)
            self.run_in(folder, state)

    def begun(self, folder: RunFolder, weights: Weights) -> Checkpoint:
        """Write the files that describe a new run, and return its initial state."""
        experiment = self.experiment
        folder.write_study(experiment)
        self.parts.study.partition.write(folder.file("partition.json"))
        folder.write_json("environment.json", self.record.environment)
        self.recorder.log = RoundLog.of(folder, ())
        return Checkpoint(0, weights, weights, -np.inf, experiment.base, self.record.to_json())

    def announce(self, folder: RunFolder, state: Checkpoint) -> None:
        """Emit the event that the study starts or is resumed."""
        experiment = self.experiment
        stages = {
            "the audit": experiment.audit.enabled,
            "the student": experiment.distillation.enabled,
            "its export": experiment.distillation.enabled and experiment.export.enabled,
        }
        emit(
            StudyStarted(
                experiment.name,
                str(folder.path),
                experiment.federation.rounds,
                self.parts.summary(),
                self.record.remarks,
                tuple(name for name, wanted in stages.items() if wanted),
            )
        )
        if experiment.output.resume:
            emit(StudyResumed(state.round))

    def run_in(self, folder: RunFolder, state: Checkpoint) -> None:
        """Run the remaining rounds and stages in the run's folder."""
        try:
            with writing(folder):
                state = attacked(state, folder, self.parts.attack_success, self.recorder)
                state.save(folder)
                self.recorder.saved = state.round
                state = self.federate(folder, state)
                self.conclude(folder, cleansed(self.parts, self.recorder, state.selected))
                self.compare(state)
        except KeyboardInterrupt:
            # No report is written: after Ctrl-C the process should end soon.
            saved, rounds = self.recorder.saved, self.experiment.federation.rounds
            self.recorder.gather()
            self.recorder.note(rounds=self.record.rounds[:saved])
            self.recorder.note_status(folder, "stopped", f"stopped after {saved} of {rounds} rounds")
            raise
        except BaseException as error:
            self.give_up(folder, error)
            raise
        self.finish(folder, "finished")
        discard_checkpoints(folder)

    def federate(self, folder: RunFolder, state: Checkpoint) -> Checkpoint:
        """Run the remaining rounds and return the last state.

        Raises:
            DoesNotFitError: a round needs more memory than available.
        """
        if state.round < self.experiment.federation.rounds:
            self.prepare()
            latest = next(self.recorder.latest_first(), None)
            spent = 0.0 if latest is None else latest.epsilon or 0.0
            loop = self.parts.rounds(folder, repeated_rounds(self.record), spent)
            state = loop.run(state, self.recorder, folder)
        self.recorder.gather()
        if remark := self.parts.selection.remark(self.record.rounds):
            self.recorder.note(remarks=(*self.record.remarks, remark))
        self.recorder.note_model(digest=state.selected.digest())
        last = self.experiment.poisoning.last_round
        self.recorder.note(durability=durability_of(self.record.rounds, last))
        return state

    def prepare(self) -> None:
        """Prepare the clients, and emit the forecast.

        Raises:
            ConfigError: a promise of privacy counts on clients that are not connected.
            DoesNotFitError: a round needs more memory than available.
        """
        emit(StageStarted("preparing the clients"))
        self.parts.rehearse()
        registry = self.parts.registry
        tell_of_absent(registry, self.experiment.federation.clients)
        check_absent(self.parts.study.promise, self.experiment.federation, len(registry.client_ids))
        forecast = self.parts.forecast
        before, sites, resumed_after = self.record.sites, sites_record(registry), self.record.resumed_after
        if resumed_after and (remark := changed(before, sites, resumed_after[-1])):
            self.recorder.note(remarks=(*self.record.remarks, remark))
        self.recorder.note(forecast=forecast, sites=together(before, sites))
        emit(ForecastMade(forecast.line(), forecast.to_json(), forecast.rows()))
        forecast.check()

    def conclude(self, folder: RunFolder, weights: Weights) -> None:
        """Evaluate the selected model, audit it, distil its student, export it."""
        auditor = self.parts.auditor
        trained = weights
        evaluator, weights = self.parts.defended(self.parts.evaluator, weights)
        if self.parts.study.prediction_defence is not None:
            self.recorder.note_model(digest=weights.digest())
        emit(StageStarted("measuring the global model"))
        evaluation, unseen = self.selected_evaluation(evaluator, weights), evaluator.unseen(weights)
        hospitals = hospitals_record(self.parts.study, evaluator, weights)
        self.recorder.note(model_evaluation=evaluation, unseen=unseen or None, hospitals=hospitals)
        if self.experiment.evaluation.examples:
            save_examples(folder, evaluator.examples(weights))
        folder.write_with("model.keras", partial(evaluator.classifier.save, weights))
        if auditor is not None:
            emit(StageStarted("auditing the global model"))
            card = auditor.audited(evaluator, weights, self.record, folder)
            # What was not attacked is said from the start: silence would read as safety.
            record = replace(card.record, privacy=privacy_page(self.record.privacy, None))
            folder.write_json("card.json", record.to_json())
            self.recorder.note(audit=record)
        if self.parts.distillation is not None:
            self.teach(folder, evaluator, weights, trained)

    def compare(self, state: Checkpoint) -> None:
        """Compare the last round's global model with central, personal and local models, if there are any."""
        parts = self.parts
        if parts.central_baseline is not None:
            emit(StageStarted("training on all images in one place"))
            self.recorder.note(central=parts.central_baseline())
        # Where the rounds of a deployment are concluded in a simulation, the clients' images are not here.
        if parts.client_comparison is not None and self.record.sites is None:
            emit(StageStarted(f"measuring the models of {len(parts.client_comparison.clients)} clients"))
            self.recorder.note(clients=parts.client_comparison(state))

    def teach(self, folder: RunFolder, evaluator: Evaluator, weights: Weights, trained: Weights) -> None:
        """Distil the student of the global model (`trained`: without its defence), measure, export and audit it."""
        auditor, plan = self.parts.auditor, self.parts.distillation
        assert plan is not None
        emit(StageStarted("distilling the student"))
        kept = self.record.model and self.record.model.selected_round
        # A run in which every round failed kept the initial weights, and no round.
        round = kept or self.experiment.federation.rounds
        student: Student = taught(self.parts, plan, evaluator, weights, trained, round)
        undefended = evaluator.of_model(student.classifier)
        behind, adapted = self.parts.defended(undefended, student.weights)
        student = replace(student, weights=adapted)
        emit(StageStarted("training the control of the student"))
        own = plan.label_trained_control()
        # A learned defence is fitted to the control, too.
        control = None if own is None else self.parts.defended(undefended, own)
        emit(StageStarted("measuring the student"))
        record = student_record(self.experiment.distillation.student, student, control, behind)
        self.recorder.note(student=record)
        export = self.experiment.export
        if export.enabled:
            emit(StageStarted("exporting the student"))
        formats = export.formats if export.enabled else ()
        defence, seed = self.experiment.model.defended_by, self.experiment.seed
        records = export_student(folder, behind, student.weights, formats, seed, defence)
        if export.enabled:
            self.recorder.note(export=records)
        if auditor is not None and self.experiment.audit.student:
            emit(StageStarted("auditing the student"))
            taken = (folder.file(one.file) for one in records if one.taken and one.format != "onnx")
            teacher, known = evaluator.target(weights), attacks_on_student(plan.method)
            card = auditor.audited_student(
                behind, student.weights, control, teacher, known, self.record, folder, next(taken, None)
            )
            folder.write_json("card-student.json", card.content)
            self.recorder.note(student=replace(record, audit=card.record))

    def selected_evaluation(self, evaluator: Evaluator, weights: Weights) -> ModelEvaluationRecord:
        """Return the evaluation of the selected round; see `server.stages.selected`.

        Raises:
            UnmeasurableError: the model's logits are not finite.
        """
        settings, parts = self.experiment.evaluation, self.parts
        # What is fitted after the rounds was not in their figures: a prediction-time defence, a removal.
        as_in_rounds = parts.study.prediction_defence is None and parts.study.removal is None
        rounds = self.record if as_in_rounds else replace(self.record, model=None)
        criterion = parts.learnt_criterion() if parts.learnt_criterion else parts.criterion
        return selected_evaluation(rounds, settings, evaluator, criterion, weights)

    def finish(self, folder: RunFolder, status: str, error: str | None = None) -> None:
        """Write ``result.json`` and the report, and emit the event."""
        self.recorder.note_status(folder, status, error)
        if self.experiment.output.report:
            write_report(folder.path)
        emit(StudyFinished(self.record))

    def give_up(self, folder: RunFolder, error: BaseException) -> None:
        """Finish a failed study, as far as its files can be written; the first error is reported."""
        try:
            self.recorder.gather()
            self.finish(folder, "failed", plain_text(f"{type(error).__name__}: {error}", MOST_STRING))
        except Exception as second:
            error.add_note(
                f"its record cannot be written: {plain_text(f'{type(second).__name__}: {second}')}"
            )
            emit(StudyFinished(self.record))
