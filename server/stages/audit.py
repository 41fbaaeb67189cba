"""The server's auditor: the checks that end a study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fedrobust.audit import Card, Evidence, Plan, Subject, audit
from fedrobust.audit.evidence import SAMPLE
from fedrobust.audit.file import companion, file_digest, model_path, official
from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.evaluation.robustness import clean_logits
from fedrobust.evasion import Target, WhiteBox
from fedrobust.evasion.models.protocol import Logits
from fedrobust.models.layout import Weights
from fedrobust.models.told import Told
from fedrobust.runs.events import AttackProgressed, CheckFinished, emit, teller
from fedrobust.runs.folder import RunFolder
from fedrobust.study import base_of, evasion_of
from server.stages.evaluation import Evaluator

UNDEFENDED = "undefended.keras"
"""The file of a run that holds the global model of the last round before its recipe began."""


def audited(
    experiment: Experiment, evaluator: Evaluator, weights: Weights, result: dict[str, Any], folder: RunFolder
) -> Card:
    """Return the card of the study's global model.

    Its control is the model that the study names; else that of the last round before the recipe began.

    Args:
        experiment: the study.
        evaluator: of the global model.
        weights: the selected ones.
        result: the run so far: the data's description, and the rounds that the training was watched in.
        folder: what attacks find is kept in its ``audit/``.
    """
    settings = experiment.audit
    before = folder.file(UNDEFENDED)
    control = control_of(experiment, evaluator, before if not settings.control and before.is_file() else None)
    alike = control is None or control[1].shape == evaluator.victim.shape
    subject = replace(
        subject_of(experiment, "global model", evaluator, weights, result),
        control=control if alike else None,
        notes=() if alike else ("the control sees images of another shape: it was left out",),
        trained_on=(experiment.training.recipe,) if experiment.training.recipe != "plain" else (),
        history=tuple(entry["pgd-probe"] for entry in result["rounds"] if entry.get("pgd-probe") is not None),
    )
    return card_of(experiment, subject, evaluator, result, Path(folder.file("audit")))


def audited_student(
    experiment: Experiment,
    student: Evaluator,
    weights: Weights,
    twin: Weights | None,
    teacher: Target,
    result: dict[str, Any],
    folder: RunFolder,
) -> Card:
    """Return the card of the study's student.

    Args:
        experiment: the study.
        student: the student's evaluator.
        weights: the student's.
        twin: those of the same network, taught by labels: the control.
        teacher: the global model; its images transfer only if it sees images of the student's shape.
        result: the run so far.
        folder: what attacks find is kept in its ``audit-student/``.
    """
    size = experiment.evaluation.batch_size
    alike = teacher.shape == student.victim.shape
    subject = replace(
        subject_of(experiment, "student", student, weights, result),
        control=None if twin is None else ("twin taught by labels", WhiteBox.of(student.victim, twin, size)),
        teacher=("global model", teacher) if alike else None,
        notes=()
        if alike
        else ("the global model sees images of another shape: none were transferred from it",),
    )
    return card_of(experiment, subject, student, result, Path(folder.file("audit-student")))


def check_control(experiment: Experiment, dataset: Dataset) -> None:
    """Refuse a control that cannot be used, before anything is trained.

    Raises:
        ModelFileError: there is no such model, or it does not fit the data.
    """
    if experiment.audit.enabled:
        settings, space = experiment.audit, evasion_of(experiment).space
        companion(settings.control, dataset, space, base_of(experiment), told_of_control(experiment))


def control_of(
    experiment: Experiment, evaluator: Evaluator, before: Path | None
) -> tuple[str, Target] | None:
    """Return the model that the study's is compared with, and its name; None where there is none.

    A model of the study's own kind is attacked in the study's space; any other sees the images that its file takes.

    Args:
        experiment: the study.
        evaluator: of the global model.
        before: the file of the model before the recipe began, where that is the control.
    """
    given = experiment.audit.control
    if before is None and not given:
        return None
    file = before or model_path(given, base_of(experiment))
    own = evaluator.classifier.weights_of(keras.models.load_model(file, compile=False))
    if own is None:
        space = evasion_of(experiment).space
        return companion(file, evaluator.dataset, space, base_of(experiment), told_of_control(experiment))
    target = WhiteBox.of(evaluator.victim, own, experiment.evaluation.batch_size)
    return f"{file.name} {file_digest(file)[:8]}", target


def told_of_control(experiment: Experiment) -> Told:
    """Return what the study tells of the images and the class order of its control."""
    settings = experiment.audit
    return Told.parse({"control": settings.control_input}, {"control": settings.control_labels})


def subject_of(
    experiment: Experiment, what: str, evaluator: Evaluator, weights: Weights, result: dict[str, Any]
) -> Subject:
    """Return a model of the study as the subject of an audit, on a sample of the test split."""
    sample = evaluator.dataset.test.sample(experiment.audit.images)
    return Subject(
        name=f"{experiment.name}, {what}",
        target=WhiteBox.of(evaluator.victim, weights, experiment.evaluation.batch_size),
        images=evaluator.victim.images(sample.images),
        labels=sample.labels,
        digest=weights.digest(),
        data=described_split(result["dataset"], official(evaluator.dataset)),
        in_training_mode=lambda: training_logits(evaluator, weights, sample.images[:SAMPLE]),
    )


def card_of(
    experiment: Experiment, subject: Subject, evaluator: Evaluator, result: dict[str, Any], kept: Path
) -> Card:
    """Audit `subject` as the study says; what attacks find is kept in the folder `kept`."""
    settings = experiment.audit
    plan = Plan(
        epsilon=settings.epsilon,
        threat=evasion_of(experiment),
        effort=settings.effort,
        seed=experiment.seed,
        curve=settings.epsilons,
    )
    tell = teller()  # attacks report from the evaluation's threads
    evidence = Evidence(
        subject,
        plan,
        kept,
        evaluator.map,
        lambda name, progress: tell(AttackProgressed(name, progress.done, progress.left)),
    )
    return audit(
        evidence,
        lambda finding: emit(CheckFinished(finding.to_json())),
        environment=result["environment"],
    )


def described_split(dataset: dict[str, Any], official: int | None) -> dict[str, Any]:
    """Return what a card says of the images: the test split of the study's data, and its size if it is official."""
    return {
        "name": dataset["name"],
        "digest": dataset["digest"],
        "split": "test",
        "labels": dataset["labels"],
        "disease": dataset["disease"],
        "official": official,
    }


def training_logits(evaluator: Evaluator, weights: Weights, images: NDArray[np.uint8]) -> Logits:
    """Return logits with BatchNorm on the batch; the plain ones where the model has no statistics."""
    classifier = evaluator.classifier
    if not classifier.layout.statistics:
        return clean_logits(evaluator.victim, weights, images)
    native = images.astype(np.float32) / np.float32(255)
    trainable, statistics = classifier.arrays(weights)
    logits, _ = classifier.logits(trainable, statistics, classifier.preparation(native), training=True)
    return np.asarray(logits)
