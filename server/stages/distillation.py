"""The server's distiller: a student of the global model, on images that the server may hold."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.data.load import load
from fedrobust.edge.export import ExportError, check_exportable
from fedrobust.evaluation.robustness import clean_logits
from fedrobust.models.classifier import Classifier, build_classifier
from fedrobust.models.layout import Weights
from fedrobust.study import weights_seed
from fedrobust.training.distillation import distil, teach_labels
from server.stages.evaluation import Evaluator


@dataclass(frozen=True)
class DistillationPlan:
    """What a student will be taught with, put together before anything is trained.

    Attributes:
        student: its architecture and initial weights.
        images: transfer images, uint8 (n, height, width, channels).
        labels: theirs, (n,) int32, of which distillation makes no use; None where they answer another question.
        source: what to call them.
    """

    student: Classifier
    images: np.ndarray
    labels: np.ndarray | None
    source: str


@dataclass(frozen=True)
class Student:
    """A distilled student.

    Attributes:
        classifier: its architecture.
        weights: after distillation.
        record: how it was taught, for ``result.json``.
    """

    classifier: Classifier
    weights: Weights
    record: dict[str, Any]


def plan_distillation(experiment: Experiment, dataset: Dataset) -> DistillationPlan:
    """Build the study's student and find the images that will teach it.

    These are the validation split, or a public set where the study names one: the hospitals' images never leave
    them, and the test split stays unseen.

    Raises:
        ConfigError: the public set does not have the shape of the study's images.
        DataError: there is no such set.
        ModelError: the student cannot be built as asked.
    """
    images, labels, source = transfer_images(experiment, dataset)
    student = build_classifier(
        experiment.distillation.student,
        dataset.image_shape,
        dataset.classes,
        image_size=experiment.distillation.image_size,
        momentum=experiment.model.batchnorm_momentum,
        seed=weights_seed(experiment, model=1),
    )
    if experiment.export.enabled and ":" in experiment.distillation.student:
        # Of a network that nobody has exported yet this is found out before anything is trained.
        try:
            check_exportable(student.deployable(student.initial_weights()), experiment.export.formats)
        except ExportError as error:
            raise ConfigError(
                f'distillation.student = "{experiment.distillation.student}": {error}; choose another network, or set '
                "export.enabled = false"
            ) from error
    return DistillationPlan(student, images, labels, source)


def distil_student(
    experiment: Experiment, lesson: DistillationPlan, teacher: Evaluator, weights: Weights
) -> Student:
    """Teach the student of `lesson` what the global model with `weights` answers."""
    started = time.perf_counter()
    settings = experiment.distillation
    logits = clean_logits(
        teacher.victim, weights, lesson.images, experiment.evaluation.batch_size, teacher.map
    )
    distilled = distil(
        lesson.student,
        lesson.images,
        logits,
        settings.temperature,
        settings.epochs,
        settings.batch_size,
        settings.learning_rate,
        experiment.seed,
    )
    record = {
        "images": len(lesson.images),
        "source": lesson.source,
        "epochs": distilled.epochs,
        "steps": distilled.metrics["steps"],
        "temperature": settings.temperature,
        "loss": distilled.metrics["loss"],
        "seconds": time.perf_counter() - started,
    }
    return Student(lesson.student, distilled.weights, record)


def twin_of(experiment: Experiment, lesson: DistillationPlan) -> Weights | None:
    """Return the weights of the student's twin, taught by labels; None where the transfer images have none."""
    if lesson.labels is None:
        return None
    settings = experiment.distillation
    return teach_labels(
        lesson.student,
        lesson.images,
        lesson.labels,
        settings.epochs,
        settings.batch_size,
        settings.learning_rate,
        experiment.seed,
    ).weights


def transfer_images(experiment: Experiment, dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Return the images that the student learns from, their labels if they are the study's, and what to call them."""
    public = experiment.distillation.public
    if not public:
        return dataset.validation.images, dataset.validation.labels, "validation split"
    data = experiment.data
    other = load(
        public,
        data.size,
        data.root,
        seed=experiment.seed,
        base=Path(experiment.base) if experiment.base else None,
        classes=data.classes,
        channels=data.channels,
        samples=data.samples,
    )
    if other.image_shape != dataset.image_shape:
        raise ConfigError(
            f'distillation.public = "{public}": images of {other.image_shape}, the study\'s are {dataset.image_shape}'
        )
    labels = other.train.labels if other.label_names == dataset.label_names else None
    return other.train.images, labels, f"{other.name}, training split"
