"""The student's files for edge devices, and their evaluation."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.edge.export import export
from fedrobust.edge.result import measure_export
from fedrobust.models.layout import Weights
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import ExportRecord
from server.stages.evaluation import Evaluator


def export_student(
    folder: RunFolder, student: Evaluator, weights: Weights, formats: Sequence[str], seed: int
) -> tuple[ExportRecord, ...]:
    """Write the student's Keras file and its LiteRT files, and return the records of the latter.

    Args:
        folder: of the run.
        student: its evaluator.
        weights: the student's.
        formats: of the LiteRT files; empty: only the Keras file.
        seed: the study's, for the calibration sample.
    """
    folder.write_with("student.keras", partial(student.classifier.save, weights))
    if not formats:
        return ()
    model = student.classifier.deployable(weights)
    dataset = student.dataset
    test = dataset.test.images.astype(np.float32) / 255.0
    sample = calibration_sample(dataset.validation, seed)
    calibration = sample.images.astype(np.float32) / 255.0
    files = export(model, folder.path, formats, calibration, stem="student")
    # Files take native images, also if the study's attacks are in the prepared space.
    native = student if student.settings.space == "native" else student.of_model(student.classifier, "native")
    logits = native.answers(weights).test
    measured = (
        measure_export(path, logits, test, dataset.test.labels, dataset.multilabel) for path in files.values()
    )
    return tuple(map(ExportRecord.of, measured))
