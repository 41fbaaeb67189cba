"""Attacks on a model of any origin, without a verdict: METRICS at every epsilon."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrobust.audit.attack_cache import AttackCache, Report
from fedrobust.audit.card import averaged_answers, data_record, threat_record
from fedrobust.audit.companions import with_surrogate
from fedrobust.audit.figures import clinical_record
from fedrobust.audit.images import chosen_split
from fedrobust.audit.model_under_audit import ModelUnderAudit
from fedrobust.audit.opened import is_known, opened_with_digest
from fedrobust.audit.plan import Plan
from fedrobust.data.dataset import Dataset
from fedrobust.evasion.models.bound import through_roundings
from fedrobust.evasion.models.predictor import Gradient
from fedrobust.evasion.run import Map
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces
from fedrobust.runs.record import AttackedRecord, AttackTableRecord
from fedrobust.runs.record.card import AuditedModelRecord

THROUGH_ROUNDINGS = "the model's roundings have the gradient of a soft rounding (BPDA); their own is zero"
"""Note on a table of attacks."""


def attack_table(
    model: str | Path | Any,
    dataset: Dataset,
    plan: Plan,
    attacks: Sequence[str],
    *,
    split: str = "test",
    images: int = 0,
    interfaces: Interfaces = NONE_DECLARED,
    gradient: Gradient | None = None,
    name: str = "",
    folder: Path | None = None,
    map: Map = map,
    report: Report = lambda name, progress: None,
    environment: Mapping[str, Any] | None = None,
) -> AttackTableRecord:
    """Return METRICS of a model, clean and under every attack at every epsilon of the plan's curve.

    Args:
        model: a ``.keras`` file, a run folder, a Keras model, or a function (see `Predictor`).
        dataset: its images.
        plan: threat model, curve and seed.
        attacks: names with settings.
        split: of the data set.
        images: number of images of the split, stratified by class; 0: all.
        interfaces: the model's declared input format, class order and output head.
        gradient: of a function; see `Predictor`.
        name: of a function, under which results of attacks are stored.
        folder: of stored results of attacks.
        map: runs chunks of images in parallel.
        report: called with an attack's name and progress.
        environment: versions, processor and threads.

    Raises:
        ModelFileError, PredictorError, ConfigError, ThreatError, SpecError: an argument cannot be used.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    stored, labels, described = chosen_split(dataset, split, images)
    opened, digest, notes = opened_with_digest(
        model, dataset, plan.threat.space, split, interfaces, gradient, name
    )
    target = through_roundings(opened.target)
    if target is not opened.target:
        notes = (*notes, THROUGH_ROUNDINGS)
    audited = ModelUnderAudit(
        opened.name,
        target,
        opened.images(stored),
        labels,
        digest,
        described,
        opened.output,
        reading=interfaces.text,
    )
    cache = AttackCache(audited, plan, folder if is_known(model, name) else None, map, report)

    rows = []
    for spec in attacks:
        chosen, surrogate = with_surrogate(spec, dataset, plan.threat.space, interfaces)
        result = cache.run(chosen, plan.values, of=surrogate)
        for place, epsilon in enumerate(plan.curve):
            rows.append(
                AttackedRecord(
                    attack=spec,
                    epsilon=epsilon,
                    epsilon_value=float(result.epsilons[place]),
                    broken=int((result.success[place] & cache.right).sum()),
                    metrics=clinical_record(labels, result.logits[place], audited.disease),
                    queries=float(result.queries),
                    gradients=float(result.gradients),
                    seconds=result.seconds,
                )
            )
    return AttackTableRecord(
        model=AuditedModelRecord(name=audited.name, digest=digest, output=opened.output),
        data=data_record(described, len(labels)),
        threat=threat_record(plan.threat, None, None),
        seed=plan.seed,
        notes=(*notes, *averaged_answers(cache)),
        clean=clinical_record(labels, cache.clean, audited.disease),
        attacked=tuple(rows),
        environment=environment or {},
    )
