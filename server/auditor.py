"""The server's auditor: the checks that end a study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.audit import Card, Evidence, Plan, Subject, audit
from fedrobust.audit.file import companion, is_official
from fedrobust.config import Experiment
from fedrobust.evaluation.robustness import clean_logits
from fedrobust.evasion import Target, WhiteBox
from fedrobust.evasion.target import Logits
from fedrobust.models.layout import Weights
from fedrobust.runs.events import AttackProgressed, CheckFinished, emit, teller
from fedrobust.runs.folder import RunFolder
from fedrobust.study import base_of, evasion_of
from server.evaluator import Evaluator

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
    control = settings.control or (str(before) if before.is_file() else "")
    space = evasion_of(experiment).space
    subject = replace(
        subject_of(experiment, "global model", evaluator, weights, result),
        control=companion(control, evaluator.dataset, space, base_of(experiment)),
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


def subject_of(
    experiment: Experiment, what: str, evaluator: Evaluator, weights: Weights, result: dict[str, Any]
) -> Subject:
    """Return a model of the study as the subject of an audit, on the first images of the test split."""
    test = evaluator.dataset.test
    count = min(experiment.audit.images or len(test), len(test))
    images, labels = test.images[:count], test.labels[:count]
    return Subject(
        name=f"{experiment.name}, {what}",
        target=WhiteBox.of(evaluator.victim, weights, experiment.evaluation.batch_size),
        images=evaluator.victim.images(images),
        labels=labels,
        digest=weights.digest(),
        data=described_split(result["dataset"], len(test) if is_official(evaluator.dataset) else None),
        in_training_mode=lambda: training_logits(evaluator, weights, images),
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
