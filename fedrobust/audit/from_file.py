"""The audit of a model of any origin."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrobust.audit.attack_cache import SAMPLE, AttackCache, Report
from fedrobust.audit.card import Card, audit
from fedrobust.audit.companions import companion, edge_companion
from fedrobust.audit.detection import Guarded, behind, check_unseen, detected, with_gradient
from fedrobust.audit.finding import Finding
from fedrobust.audit.images import chosen_split
from fedrobust.audit.model_under_audit import ModelUnderAudit
from fedrobust.audit.opened import in_training_mode, is_known, opened_with_digest
from fedrobust.audit.plan import Plan
from fedrobust.data.dataset import Dataset
from fedrobust.detectors import Detector
from fedrobust.evasion.models.predictor import Gradient
from fedrobust.evasion.run import Map
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces


def audit_file(
    model: str | Path | Any,
    dataset: Dataset,
    plan: Plan,
    *,
    split: str = "test",
    images: int = 0,
    control: str | Path = "",
    teacher: str | Path = "",
    edge: str | Path = "",
    interfaces: Interfaces = NONE_DECLARED,
    gradient: Gradient | None = None,
    name: str = "",
    trained_on: Sequence[str] = (),
    history: Sequence[float] = (),
    balanced_history: Sequence[float] = (),
    folder: Path | None = None,
    map: Map = map,
    report: Report = lambda name, progress: None,
    note: Callable[[Finding], None] = lambda finding: None,
    environment: Mapping[str, Any] | None = None,
    detector: Detector | None = None,
    detector_rate: float = 0.05,
) -> Card:
    """Audit a model on a data set.

    Args:
        model: a ``.keras`` file, a run folder, a Keras model, or a function (see `Predictor`).
        dataset: its images.
        plan: threat model and effort.
        split: of the data set.
        images: number of images of the split, stratified by class; 0: all.
        control: the same model without its defence.
        teacher: the model that it was distilled from.
        edge: its exported LiteRT file.
        interfaces: declared input formats, class orders and output heads of the model and its companions.
        gradient: of a function; see `Predictor`.
        name: of a function, under which results of attacks are stored.
        trained_on: names of the attacks that its training used.
        history: accuracies under PGD-5 in training.
        balanced_history: balanced accuracies under it.
        folder: of stored results of attacks, to resume an interrupted audit.
        map: runs chunks of images in parallel.
        report: called with an attack's name and progress.
        note: called with every finding.
        environment: versions, processor and threads.
        detector: of attacked images, on which the model abstains; None: there is none.
        detector_rate: share of clean images on which it may abstain.

    Raises:
        ModelFileError, PredictorError, ConfigError: an argument does not fit the data.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    space = plan.threat.space
    if detector is not None:
        check_unseen(split)
    stored, labels, described = chosen_split(dataset, split, images)
    opened, digest, notes = opened_with_digest(model, dataset, space, split, interfaces, gradient, name)
    audited = ModelUnderAudit(
        name=opened.name,
        target=opened.target,
        images=opened.images(stored),
        labels=labels,
        digest=digest,
        data=described,
        output=opened.output,
        in_training_mode=in_training_mode(opened, stored[:SAMPLE]),
        control=companion(control, dataset, space, interfaces=interfaces, what="control"),
        teacher=companion(teacher, dataset, space, interfaces=interfaces, what="teacher"),
        edge=edge_companion(edge, dataset, interfaces),
        trained_on=tuple(trained_on),
        history=tuple(history),
        balanced_history=tuple(balanced_history),
        notes=notes,
        reading=interfaces.text,
    )
    # Fitted before the attacks: what cannot be guarded is refused at once.
    guard = None if detector is None else Guarded(with_gradient(opened), dataset, detector, detector_rate)
    kept = folder if is_known(model, name) else None
    card = audit(AttackCache(audited, plan, kept, map, report), note, environment)
    if guard is None:
        return card
    return behind(card, detected(guard, audited.images, labels, plan.threat, plan.value, plan.seed, map))
