"""The student's files for edge devices, and their evaluation."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.edge.about import About
from fedrobust.edge.choice import alarm, chosen
from fedrobust.edge.measured import exported_and_measured
from fedrobust.models.layout import Weights
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import ExportRecord
from server.stages.evaluation import Evaluator
from server.stages.measurable import measurable


def export_student(
    folder: RunFolder,
    student: Evaluator,
    weights: Weights,
    formats: Sequence[str],
    seed: int,
    defence: str = "",
) -> tuple[ExportRecord, ...]:
    """Write the student's Keras file and its files for devices, and return the records of the latter.

    Where int8 changes too many answers, its fallback is written, too; see `fedrobust.edge.choice`. Ranges of
    activations are those of validation images, from which the student learns: the server has no images of hospitals.

    Args:
        folder: of the run.
        student: its evaluator.
        weights: the student's.
        formats: of the files; empty: only the Keras file.
        seed: the study's, for the calibration sample.
        defence: spec of the prediction-time defence inside; empty: none.

    Raises:
        UnmeasurableError: a file's logits are not finite.
    """
    folder.write_with("student.keras", partial(student.classifier.save, weights))
    if not formats:
        return ()
    model = student.classifier.deployable(weights)
    dataset = student.dataset
    test = dataset.test.images.astype(np.float32) / 255.0
    sample = calibration_sample(dataset.validation, seed)
    calibration = sample.images.astype(np.float32) / 255.0
    about = About(
        dataset.label_names,
        dataset.image_shape,
        dataset.multilabel,
        f"student {student.classifier.name}",
        dataset.name,
        defence,
        dataset.conversion,
    )
    # Files take native images, also if the study's attacks are in the prepared space.
    native = student if student.settings.space == "native" else student.of_model(student.classifier, "native")
    logits = native.answers(weights).test
    with measurable("a file of the student (export.formats)"):
        measured = exported_and_measured(
            model, folder.path, formats, calibration, test, dataset.test.labels, logits, about, stem="student"
        )
    taken = chosen(measured)
    return tuple(ExportRecord.of(one, alarm(one), one is taken) for one in measured)
