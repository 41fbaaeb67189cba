"""The removal of backdoors from the selected model, with its figures before and after."""

import time
from collections.abc import Callable

import numpy as np

from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.models.layout import Weights
from fedrobust.poisoning import SuccessCriterion
from fedrobust.randomness import Purpose, sequence
from fedrobust.removal import Removal, Suspect
from fedrobust.runs.events import StageStarted, emit
from fedrobust.runs.record import MetricsRecord, ModelEvaluationRecord, RemovalRecord
from fedrobust.training.schedule import balanced_class_weights
from server.errors import UnmeasurableError
from server.parts import ServerParts
from server.recorder import Recorder
from server.stages.evaluation import Evaluator


def cleansed(parts: ServerParts, recorder: Recorder, weights: Weights) -> Weights:
    """Return the selected weights after the study's removal of backdoors, if it has one, and note what it did.

    Args:
        parts: of the server.
        recorder: of the run, after its rounds.
        weights: the selected ones.
    """
    study, ran = parts.study, all(one.valid for one in recorder.run.rounds)
    if study.removal is None:
        return weights
    name, balanced = study.experiment.model.removal, study.experiment.training.class_weights == "balanced"
    criterion = parts.learnt_criterion() if parts.learnt_criterion else parts.criterion
    emit(StageStarted(f"removing backdoors: {name}"))
    weights, record = with_removal(
        name,
        study.removal,
        parts.evaluator,
        weights,
        criterion if ran else None,
        balanced,
        parts.recalibrate,
    )
    recorder.note(removal=record)
    recorder.note_model(digest=weights.digest())
    return weights


def with_removal(
    name: str,
    removal: Removal,
    evaluator: Evaluator,
    weights: Weights,
    criterion: SuccessCriterion | None,
    balanced: bool,
    recalibrate: Callable[[Weights], Weights] | None,
) -> tuple[Weights, RemovalRecord]:
    """Return the weights after the removal, and its record.

    Args:
        name: of the removal, as in the study.
        removal: works on the validation images.
        evaluator: of the global model.
        weights: of the selected model.
        criterion: of the poisoning attack's success; None without an attack that has one, or if it failed.
        balanced: whether the study weights classes alike in its loss.
        recalibrate: recalibrates BatchNorm statistics, as after each round; None if the study does not.

    Raises:
        UnmeasurableError: the logits before or after it are not finite.
    """
    validation, classes = evaluator.dataset.validation, evaluator.classifier.classes
    suspect = Suspect(
        evaluator.classifier,
        weights,
        validation.images.astype(np.float32) / np.float32(255),
        validation.labels.astype(np.int32),
        balanced_class_weights(validation.labels, classes) if balanced else np.ones(classes, np.float32),
        int(sequence(evaluator.seed, Purpose.REMOVAL).generate_state(1)[0]),
    )
    before = measured(evaluator, weights, criterion, "before")
    began = time.perf_counter()
    removed = removal(suspect)
    after = removed.weights
    if recalibrate is not None and after is not weights:
        after = recalibrate(after)
    seconds = time.perf_counter() - began
    found = RemovalRecord(
        method=name,
        images=len(validation),
        found=dict(removed.found),
        before=before,
        after=measured(evaluator, after, criterion, "after"),
        seconds=seconds,
    )
    return after, found


def measured(
    evaluator: Evaluator, weights: Weights, criterion: SuccessCriterion | None, when: str
) -> ModelEvaluationRecord:
    """Return the metrics on the clean test images, and the success of the poisoning attack.

    Raises:
        UnmeasurableError: the logits are not finite.
    """
    try:
        clean = evaluator.measure(evaluator.dataset.test.labels, evaluator.answers(weights).test)
    except NotFiniteError as error:
        raise UnmeasurableError(f"the model {when} the removal cannot be measured: {error}") from error
    success = None if criterion is None else evaluator.success(weights, criterion)
    return ModelEvaluationRecord(clean=MetricsRecord.of(clean), attack_success=success)
