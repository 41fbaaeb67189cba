"""The server's auditor: the checks that end a study."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.audit import Card, Evidence, Plan, Subject, audit
from fedrobust.audit.file import companion, is_official
from fedrobust.config import Experiment
from fedrobust.evaluation.robustness import clean_logits
from fedrobust.evasion import WhiteBox
from fedrobust.evasion.target import Logits
from fedrobust.models.layout import Weights
from fedrobust.runs.events import AttackProgressed, CheckFinished, emit, teller
from fedrobust.runs.folder import RunFolder
from fedrobust.study import base_of, evasion_of
from server.evaluator import Evaluator


def audited(
    experiment: Experiment, evaluator: Evaluator, weights: Weights, result: dict[str, Any], folder: RunFolder
) -> Card:
    """Return the card of the study's global model.

    Args:
        experiment: the study.
        evaluator: of the global model.
        weights: the selected ones.
        result: the run so far: the data's description, and the rounds that the training was watched in.
        folder: what attacks find is kept in its ``audit/``.
    """
    settings, test = experiment.audit, evaluator.dataset.test
    count = min(settings.images or len(test), len(test))
    images, labels = test.images[:count], test.labels[:count]
    threat = evasion_of(experiment)
    target = WhiteBox.of(evaluator.victim, weights, experiment.evaluation.batch_size)
    subject = Subject(
        name=f"{experiment.name}, global model",
        target=target,
        images=evaluator.victim.images(images),
        labels=labels,
        digest=weights.digest(),
        data=described_split(result["dataset"], len(test) if is_official(evaluator.dataset) else None),
        in_training_mode=lambda: training_logits(evaluator, weights, images),
        control=companion(settings.control, evaluator.dataset, threat.space, base_of(experiment)),
        trained_on=(experiment.training.recipe,) if experiment.training.recipe != "plain" else (),
        history=tuple(entry["pgd-probe"] for entry in result["rounds"] if entry.get("pgd-probe") is not None),
    )
    plan = Plan(
        epsilon=settings.epsilon,
        threat=threat,
        effort=settings.effort,
        seed=experiment.seed,
    )
    tell = teller()  # attacks report from the evaluation's threads
    evidence = Evidence(
        subject,
        plan,
        Path(folder.file("audit")),
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
