"""Distillation of the global model into a student, on the server's images."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fedrobust.config.sections import Distillation
from fedrobust.data.dataset import Dataset
from fedrobust.data.transfer_set import TransferSet
from fedrobust.edge.errors import ExportError
from fedrobust.edge.export import check_exportable
from fedrobust.edge.formats import check_installed
from fedrobust.errors import ConfigError
from fedrobust.evaluation.metrics import finite
from fedrobust.lazy import tf
from fedrobust.memoize import part
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.models.network_file import is_network_file
from fedrobust.runs.record import DistillationRecord
from fedrobust.training.distillation import TARGET_STEPS, distil, teach_labels
from fedrobust.training.distillation_methods import DistillationMethod
from fedrobust.training.distillation_methods.contract import trait
from fedrobust.training.losses import Loss
from fedrobust.training.losses.binary_cross_entropy import answers as answers_to
from fedrobust.training.transfer import labelled_copies, moved_copies
from server.stages.class_logits import teaching
from server.stages.evaluation import Evaluator
from server.stages.mean_logits import answers_of, mean_logits
from server.stages.measurable import measurable
from server.stages.transfer_images import transfer_images


@dataclass(frozen=True, eq=False)
class DistillationPlan:
    """The plan of a distillation, made before training.

    Attributes:
        settings: of ``[distillation]``.
        student: its architecture and initial weights.
        images: transfer images, uint8 (n, height, width, channels).
        labels: their labels, (n,) int32, used by the label-trained control and by methods that need them; None if there
            are none, or of another problem.
        source: name of the transfer set.
        seed: the study's, for the student's batches.
        method: by which the student learns.
        balanced: whether classes weigh alike for the label-trained control, as they do for the study's clients.
        loss: of the label-trained control: the clients' if it depends on class shares; None: cross-entropy.
    """

    settings: Distillation
    student: Classifier
    images: np.ndarray
    labels: np.ndarray | None
    source: str
    seed: int
    method: DistillationMethod
    balanced: bool = False
    loss: Loss | None = None

    @property
    def copies(self) -> int:
        """Number of augmented copies of each transfer image, limited by the student's number of steps."""
        if self.settings.epochs:
            return self.settings.copies
        return min(
            self.settings.copies, max(TARGET_STEPS * self.settings.batch_size // len(self.images) - 1, 0)
        )

    @part
    def moved(self) -> np.ndarray:
        """The augmented copies, uint8 (copies * n, height, width, channels)."""
        return moved_copies(self.images, self.copies, self.seed, self.settings.mixup)

    @property
    def shown(self) -> np.ndarray:
        """The student's training images: the transfer images, then their copies."""
        return np.concatenate([self.images, self.moved]) if self.copies else self.images

    @property
    def shown_labels(self) -> np.ndarray | None:
        """The labels of `shown`, where copies keep those of their originals; None without labels."""
        return None if self.labels is None else np.tile(self.labels, 1 + self.copies)

    @property
    def mixed_labels(self) -> np.ndarray:
        """The right answers to `shown`, (n, classes) float32: of mixed copies, mixtures of two images' labels."""
        assert self.labels is not None
        right = answers_to if self.student.multilabel else tf.one_hot
        own = np.asarray(right(tf.constant(self.labels), self.student.classes), np.float32)
        _, mixed = labelled_copies(self.images, own, self.copies, self.seed, self.settings.mixup)
        return np.concatenate([own, mixed])

    def distilled(self, teacher: Evaluator, models: Iterable[Weights]) -> "Student":
        """Return the student, trained on the mean logits of the teachers.

        Args:
            teacher: of the teachers' classifier.
            models: the teachers' weights; an iterator makes them one by one, and they are not kept.
        """
        started = time.perf_counter()
        asks = trait(self.method, "asks_teacher")
        models = tuple(models) if asks else models
        logits, count = mean_logits(
            self.finite_logits_of(teacher, weights, number) for number, weights in enumerate(models, 1)
        )
        answers = answers_of(teacher.classifier, tuple(models)) if asks else None
        return self.taught(logits, count, self.sent_bytes(teacher.classifier), started, answers)

    def distilled_by_classes(self, table: np.ndarray, clients: int, rounds: int) -> "Student":
        """Return the student, trained on the clients' mean answers to each image's class, see `ClassLogits`.

        Args:
            table: (classes, classes) mean probabilities.
            clients: their number.
            rounds: in each of which a client sent a table.
        """
        assert self.shown_labels is not None
        started, logits = time.perf_counter(), teaching(table, self.shown_labels)
        return self.taught(logits, clients, 4 * table.size * rounds, started)

    def taught(
        self,
        logits: np.ndarray,
        count: int,
        sent_bytes: int | None,
        started: float,
        answers: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> "Student":
        """Return the student, trained on a teacher's logits.

        Args:
            logits: (n, classes) of the images and their copies.
            count: models that teach.
            sent_bytes: what a client sends for it; None: nothing.
            started: when its making began.
            answers: the teacher inside the graph, for methods that ask it.
        """
        settings = self.settings
        distilled = distil(
            self.student,
            self.shown,
            logits,
            settings.temperature,
            settings.epochs,
            settings.batch_size,
            settings.learning_rate,
            self.seed,
            self.method,
            self.shown_labels if trait(self.method, "needs_labels") else None,
            answers,
        )
        record = DistillationRecord(
            images=len(self.images),
            copies=self.copies,
            source=self.source,
            method=settings.method,
            teacher=settings.teacher,
            models=count,
            sent_bytes=sent_bytes,
            epochs=distilled.epochs,
            steps=distilled.metrics["steps"],
            temperature=settings.temperature if getattr(self.method, "tempered", True) else None,
            loss=distilled.metrics["loss"],
            seconds=time.perf_counter() - started,
        )
        return Student(self.student, distilled.weights, record)

    def finite_logits_of(self, teacher: Evaluator, weights: Weights, number: int) -> np.ndarray:
        """Return the logits of the teacher of this number, counted from 1.

        Raises:
            UnmeasurableError: they are not finite.
        """
        logits = self.logits_of(teacher, weights)
        with measurable(
            f'teacher {number} of the student (distillation.teacher = "{self.settings.teacher}")'
        ):
            finite(logits)
        return logits

    def logits_of(self, teacher: Evaluator, weights: Weights) -> np.ndarray:
        """Return one teacher's logits of the images and their copies, (n, classes)."""
        own = self.images is teacher.dataset.validation.images and self.settings.teacher == "global-model"
        logits = teacher.answers(weights).validation if own else teacher.clean_logits(weights, self.images)
        return np.concatenate([logits, teacher.clean_logits(weights, self.moved)]) if self.copies else logits

    def sent_bytes(self, classifier: Classifier) -> int | None:
        """Return what a client sends for the teacher: its weights, or float32 logits; None where it is nothing."""
        weights = classifier.layout.parameters + classifier.layout.statistics
        numbers = {
            "clients": weights,
            "local-models": len(self.images) * (1 + self.copies) * classifier.classes,
        }
        return 4 * numbers[self.settings.teacher] if self.settings.teacher in numbers else None

    def label_trained_control(self) -> Weights | None:
        """Return the weights of the student trained on labels; None where the transfer images have no labels."""
        labels = self.shown_labels
        if labels is None:
            return None
        settings = self.settings
        return teach_labels(
            self.student,
            self.shown,
            self.mixed_labels if settings.mixup and self.copies else labels,
            settings.epochs,
            settings.batch_size,
            settings.learning_rate,
            self.seed,
            balanced=self.balanced,
            loss=self.loss,
        ).weights


@dataclass(frozen=True)
class Student:
    """A distilled student.

    Attributes:
        classifier: its architecture.
        weights: after distillation.
        record: the record of the distillation for ``result.json``.
    """

    classifier: Classifier
    weights: Weights
    record: DistillationRecord


def plan_distillation(
    settings: Distillation,
    dataset: Dataset,
    public: TransferSet | None,
    formats: Sequence[str],
    student: Classifier,
    seed: int,
    method: DistillationMethod,
    balanced: bool = False,
    loss: Loss | None = None,
) -> DistillationPlan:
    """Select the transfer images of the study's student, and check that it can be exported.

    These are the validation split, or a public data set if the study names one: the hospitals' images do not leave
    them, and the test split is not used.

    Args:
        settings: of ``[distillation]``.
        dataset: the study's.
        public: public images, which are the transfer set; None: the validation split.
        formats: export formats of the student; empty if it is not exported.
        student: its architecture and initial weights.
        seed: the study's, for its batches.
        method: by which it learns.
        balanced: see `DistillationPlan`.
        loss: see `DistillationPlan`.

    Raises:
        ConfigError: the public set does not have the shape of the study's images, or the student cannot be exported.
    """
    try:
        check_installed(formats)
    except ExportError as error:
        raise ConfigError(f"export.formats: {error}") from error
    images, labels, source = transfer_images(dataset, public, settings.public)
    defence = student.defence
    is_own = ":" in settings.student or is_network_file(settings.student)
    is_teachers = trait(method, "same_network")
    if formats and (is_own or is_teachers or defence is not None):
        # A user's own network or defence, or the teacher's GroupNorm, may not be exportable: this is checked first.
        try:
            check_exportable(student.deployable(student.initial_weights()), formats)
        except ExportError as error:
            said = f' with distillation.method = "{settings.method}" (the teacher\'s network)' * is_teachers
            if defence is not None:
                said += f" with the prediction-time defence {type(defence).__name__}"
            raise ConfigError(
                f'distillation.student = "{settings.student}"{said}: {error}; choose another network, other '
                "export.formats, or set export.enabled = false"
            ) from error
    return DistillationPlan(settings, student, images, labels, source, seed, method, balanced, loss)
