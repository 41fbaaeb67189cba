"""The server's auditor."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.audit import AttackCache, Card, ModelUnderAudit, Plan, audit
from fedrobust.audit.attack_cache import SAMPLE
from fedrobust.audit.companions import companion
from fedrobust.audit.detection import Guarded, behind, detected, with_gradient
from fedrobust.audit.exported import ExportedTarget
from fedrobust.audit.images import official
from fedrobust.audit.opened import file_digest, model_path, opened_with_digest
from fedrobust.config.sections import Audit
from fedrobust.data.dataset import Dataset
from fedrobust.detectors import Detector
from fedrobust.epsilon import epsilon_value
from fedrobust.evaluation.robustness import clean_logits
from fedrobust.evasion import TargetModel, Threat
from fedrobust.evasion.models.protocol import Logits
from fedrobust.lazy import keras
from fedrobust.models.interfaces import Interfaces
from fedrobust.models.layout import Weights
from fedrobust.runs.events import AttackProgressed, CheckFinished, StageStarted, emit, teller
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import DatasetRecord, RunRecord, probes_of
from fedrobust.training.recipes.recipe import attacks_of
from server.callbacks.undefended_snapshot import UNDEFENDED
from server.stages.evaluation import Evaluator


@dataclass(frozen=True, eq=False)
class Auditor:
    """The auditor of a study's models.

    Attributes:
        settings: of ``[audit]``.
        name: of the study.
        recipe: the training recipe, as written in the study.
        threat: the threat model.
        seed: of the attacks' random numbers.
        base: folder that the control's path is resolved against first.
        detector: on which the global model abstains; None: there is none.
        detector_rate: share of clean images on which it may abstain.
        first: round from which the recipe trains.
    """

    settings: Audit
    name: str
    recipe: str
    threat: Threat
    seed: int
    base: Path | None
    detector: Detector | None = None
    detector_rate: float = 0.05
    first: int = 1

    def audited(self, evaluator: Evaluator, weights: Weights, run: RunRecord, folder: RunFolder) -> Card:
        """Return the card of the study's global model.

        Its control is the model named in the study; else the global model before the recipe began.

        Args:
            evaluator: of the global model.
            weights: the selected weights.
            run: the record so far: the data's description, and the probes of adversarial training.
            folder: the run folder; results of attacks are stored in its ``audit/``.
        """
        before = folder.file(UNDEFENDED)
        control = self.control(evaluator, before if not self.settings.control and before.is_file() else None)
        alike = control is None or control[1].shape == evaluator.compiled.shape
        last = None if run.model is None else run.model.selected_round
        watched = [one for one in run.rounds if self.first <= one.round <= (last or one.round)]
        history, balanced = probes_of(watched)
        model = replace(
            self.model_under_audit("global model", evaluator, weights, run),
            control=control if alike else None,
            notes=() if alike else ("the control sees images of another shape: it was left out",),
            trained_on=attacks_of(self.recipe),
            history=history,
            balanced_history=balanced,
        )
        card = self.card(model, evaluator, run, Path(folder.file("audit")))
        if self.detector is None:
            return card
        emit(StageStarted("attacking model and detector together"))
        file = Path(folder.file("model.keras"))
        return behind(card, self.measured_detector(model, evaluator, file))

    def measured_detector(self, model: ModelUnderAudit, evaluator: Evaluator, file: Path) -> dict[str, Any]:
        """Return what the detector costs and holds: that of the model in `file`, on the images of the audit.

        Raises:
            ConfigError, ModelError: the detector does not fit the model or the data.
        """
        # The run has no result yet, by which the class order would be checked.
        own_order = Interfaces(labels={"": ",".join(map(str, range(evaluator.dataset.classes)))})
        opened, _, _ = opened_with_digest(file, evaluator.dataset, "native", interfaces=own_order)
        assert self.detector is not None
        guard = Guarded(with_gradient(opened), evaluator.dataset, self.detector, self.detector_rate)
        epsilon = epsilon_value(self.settings.epsilon)
        return detected(guard, model.images, model.labels, self.threat, epsilon, self.seed, evaluator.map)

    def audited_student(
        self,
        student: Evaluator,
        weights: Weights,
        label_trained: tuple[Evaluator, Weights] | None,
        teacher: TargetModel,
        trained_on: tuple[str, ...],
        run: RunRecord,
        folder: RunFolder,
        file: Path | None = None,
    ) -> Card:
        """Return the card of the study's student.

        Args:
            student: the student's evaluator.
            weights: the student's.
            label_trained: evaluator and weights of the label-trained control; None: there is none.
            teacher: the global model, used for transfer attacks if its images have the student's shape.
            trained_on: names of the attacks that the distillation used.
            run: the record so far.
            folder: the run folder; results of attacks are stored in its ``audit-student/``.
            file: its exported file, which takes native images; None: none.
        """
        alike = teacher.shape == student.compiled.shape
        model = replace(
            self.model_under_audit("student", student, weights, run),
            control=None
            if label_trained is None
            else ("label-trained control", label_trained[0].target(label_trained[1])),
            teacher=("global model", teacher) if alike else None,
            edge=None
            if file is None or self.threat.space != "native"
            else (f"{file.name} {file_digest(file)[:8]}", ExportedTarget(file)),
            trained_on=trained_on,
            notes=()
            if alike
            else ("the global model sees images of another shape: none were transferred from it",),
        )
        return self.card(model, student, run, Path(folder.file("audit-student")))

    def check_control(self, dataset: Dataset) -> None:
        """Refuse an unusable control before training.

        Raises:
            ModelFileError: the model is missing, or does not fit the data.
            ConfigError, MisreadModelError: its class order is not that of the data.
        """
        self.companion(self.settings.control, dataset)

    def companion(self, file: str | Path, dataset: Dataset) -> tuple[str, TargetModel] | None:
        """Return the name and the target of a control's file: see `audit.companions.companion`."""
        interfaces = Interfaces.parse(
            {"control": self.settings.control_input}, {"control": self.settings.control_labels}
        )
        return companion(file, dataset, self.threat.space, self.base, interfaces)

    def control(self, evaluator: Evaluator, before: Path | None) -> tuple[str, TargetModel] | None:
        """Return name and target of the control; None without one.

        A model of the study's own architecture is attacked in the study's space, any other with its own input format.
        With a prediction-time defence the file is opened as it is: the control is without the defence.

        Args:
            evaluator: of the global model.
            before: the file of the model before the recipe began, if that is the control.
        """
        given = self.settings.control
        if before is None and not given:
            return None
        file = before or model_path(given, self.base)
        own = evaluator.classifier.weights_of(keras.models.load_model(file, compile=False))
        if own is None or evaluator.classifier.defence is not None:
            return self.companion(file, evaluator.dataset)
        return f"{file.name} {file_digest(file)[:8]}", evaluator.target(own)

    def model_under_audit(
        self, what: str, evaluator: Evaluator, weights: Weights, run: RunRecord
    ) -> ModelUnderAudit:
        """Return a model of the study as the model under audit, with a sample of the test split."""
        sample = evaluator.dataset.test.sample(self.settings.images)
        return ModelUnderAudit(
            name=f"{self.name}, {what}",
            target=evaluator.target(weights),
            images=evaluator.compiled.images(sample.images),
            labels=sample.labels,
            digest=digest_of(evaluator, weights),
            data=described_split(
                run.dataset or DatasetRecord(), official(evaluator.dataset), len(evaluator.dataset.test)
            ),
            in_training_mode=lambda: training_logits(evaluator, weights, sample.images[:SAMPLE]),
        )

    def card(self, model: ModelUnderAudit, evaluator: Evaluator, run: RunRecord, kept: Path) -> Card:
        """Audit `model` by the study's settings; results of attacks are stored in the folder `kept`."""
        plan = Plan(
            epsilon=self.settings.epsilon,
            threat=self.threat,
            effort=self.settings.effort,
            seed=self.seed,
            curve=self.settings.epsilons,
        )
        tell = teller()  # attacks report from the evaluation's threads
        cache = AttackCache(
            model,
            plan,
            kept,
            evaluator.map,
            lambda name, progress: tell(AttackProgressed(name, progress.done, progress.left)),
        )
        return audit(
            cache,
            lambda finding: emit(CheckFinished(finding.record())),
            environment=run.environment,
        )


def described_split(dataset: DatasetRecord, official: int | None, size: int) -> dict[str, Any]:
    """Return the card's description of the images: the test split, its size, and that of an official one."""
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "split": "test",
        "labels": list(dataset.labels),
        "disease": list(dataset.disease),
        "official": official,
        "of": size,
    }


def digest_of(evaluator: Evaluator, weights: Weights) -> str:
    """Return the SHA-256 of a model: of its weights, and of those of a learned defence."""
    learned = getattr(evaluator.classifier.defence, "digest", "")
    return (
        hashlib.sha256(f"{weights.digest()}{learned}".encode()).hexdigest() if learned else weights.digest()
    )


def training_logits(evaluator: Evaluator, weights: Weights, images: NDArray[np.uint8]) -> Logits:
    """Return logits in training mode (BatchNorm by the batch); those in inference mode if there is no BatchNorm."""
    classifier = evaluator.classifier
    if not classifier.layout.statistics:
        return clean_logits(evaluator.compiled, weights, images)
    native = images.astype(np.float32) / np.float32(255)
    trainable, statistics = classifier.arrays(weights)
    return np.asarray(classifier.answers(trainable, statistics, native, training=True))
