"""Export a model of any origin, measure its files, and attack the file to take."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.audit.attack_cache import AttackCache, Report
from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.attacks_on_file import attacks_on_file
from fedrobust.audit.card import data_record
from fedrobust.audit.exported import ExportedTarget
from fedrobust.audit.images import chosen_split
from fedrobust.audit.model_under_audit import ModelUnderAudit
from fedrobust.audit.opened import file_digest, opened_with_digest
from fedrobust.audit.plan import Plan
from fedrobust.config import ConfigError
from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.data.dataset import Dataset
from fedrobust.edge.about import About
from fedrobust.edge.choice import alarm, chosen
from fedrobust.edge.measured import exported_and_measured
from fedrobust.evaluation.intervals import wilson
from fedrobust.evasion.models.model_file import OpenedModel
from fedrobust.evasion.models.predictor import Predictor
from fedrobust.evasion.run import Map
from fedrobust.models.exportable import exportable
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces
from fedrobust.runs.record import ExportRecord
from fedrobust.runs.record.card import AuditedModelRecord
from fedrobust.runs.record.export import ExportResultRecord, FileRobustnessRecord

NOT_ATTACKED = "an ONNX file is not attacked: its figures under attack are those of the model, up to rounding"
"""Note on an export whose file to take is ONNX."""


def export_files(
    model: str | Path | Any,
    dataset: Dataset,
    folder: Path,
    formats: Sequence[str],
    plan: Plan | None,
    *,
    stem: str = "model",
    images: int = 0,
    seed: int = 0,
    defence: str = "",
    interfaces: Interfaces = NONE_DECLARED,
    map: Map = map,
    report: Report = lambda name, progress: None,
    environment: Mapping[str, Any] | None = None,
) -> ExportResultRecord:
    """Write a model's files for devices, and return their figures.

    Args:
        model: a ``.keras`` file, a run folder, or a Keras model.
        dataset: its training images give the ranges of int8 activations, its test images the figures.
        folder: where to write; results of attacks are stored in its ``attacks/``.
        formats: names of `fedrobust.edge.formats.FORMATS`.
        plan: of the attacks on the file to take; None: it is not attacked.
        stem: first part of the file names.
        images: number of test images that are attacked, stratified by class; 0: all.
        seed: of the calibration sample.
        defence: spec of the prediction-time defence inside, as far as known.
        interfaces: the model's declared input format, class order and output head.
        map: runs chunks of images in parallel.
        report: called with an attack's name and progress.
        environment: versions, processor and threads.

    Raises:
        ModelFileError, ConfigError: the model cannot be used.
        ExportError: a format cannot be written.
        MisreadModelError: another pixel range or class order fits significantly better.
    """
    opened, digest, notes = opened_with_digest(model, dataset, "native", interfaces=interfaces)
    if isinstance(opened, Predictor):
        raise ConfigError(f"model: {opened.name} is no Keras model, and only those can be exported")
    network = exportable(
        opened.keras, opened.preparation, opened.format, opened.output, opened.labels, opened.name
    )
    stored, labels, described = chosen_split(dataset, "test", 0)
    test = opened.images(stored)
    logits = opened.target.logits(test)
    sample = calibration_sample(dataset.train, seed).images
    about = About(
        dataset.label_names,
        dataset.image_shape,
        False,
        opened.name,
        dataset.name,
        defence,
        dataset.conversion,
    )
    refusals: list[str] = []
    measured = exported_and_measured(
        network,
        folder,
        formats,
        opened.images(sample),
        test,
        labels,
        logits,
        about,
        stem=stem,
        refused=refusals.append,
        memory=True,
    )
    taken = chosen(measured)
    notes = (*notes, *refusals)
    if plan is not None and taken is not None and taken.format == "onnx":
        notes = (*notes, NOT_ATTACKED)
    robustness = None
    if plan is not None and taken is not None and taken.format != "onnx":
        path = folder / taken.file
        robustness = robustness_of(
            path,
            opened,
            dataset,
            plan,
            images,
            AuditedModelRecord(name=opened.name, digest=digest),
            map,
            report,
        )
    return ExportResultRecord(
        model=AuditedModelRecord(name=opened.name, digest=digest, output=opened.output),
        data=data_record(described, len(labels)),
        accuracy=float((logits.argmax(axis=1) == labels).mean()),
        float_bytes=4 * int(sum(np.prod(variable.shape) for variable in network.variables)),
        calibration=len(sample),
        files=tuple(ExportRecord.of(one, alarm(one), one is taken) for one in measured),
        robustness=robustness,
        notes=tuple(notes),
        environment=environment or {},
    )


def robustness_of(
    path: Path,
    opened: OpenedModel,
    dataset: Dataset,
    plan: Plan,
    images: int,
    model: AuditedModelRecord,
    map: Map = map,
    report: Report = lambda name, progress: None,
) -> FileRobustnessRecord:
    """Return an exported file's accuracy under the attacks of `attacks_on_file`.

    Args:
        path: of the file.
        opened: the model that it came from.
        dataset: of the test images.
        plan: threat model, epsilon and effort.
        images: number of test images; 0: all.
        model: name and digest of `opened`.
        map: runs chunks of images in parallel.
        report: called with an attack's name and progress.
    """
    stored, labels, described = chosen_split(dataset, "test", images)
    edge = ExportedTarget(path)
    audited = ModelUnderAudit(
        name=model.name,
        target=opened.target,
        images=opened.images(stored),
        labels=labels,
        digest=model.digest,
        data=described,
        edge=(f"{path.name} {file_digest(path)[:8]}", edge),
    )
    found = attacks_on_file(AttackSuite(AttackCache(audited, plan, path.parent / "attacks", map, report)))
    clean = int((edge.logits(audited.images).argmax(axis=1) == labels).sum())
    return FileRobustnessRecord(
        file=path.name,
        norm=plan.threat.norm,
        epsilon=plan.epsilon,
        n=found.n,
        clean=clean,
        worst=found.worst,
        accuracy=found.worst / found.n,
        interval=wilson(found.worst, found.n),
        right=found.right,
        model_right=found.float_right,
        masked=found.masked,
    )
