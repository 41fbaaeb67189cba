"""The student's files for devices, and what they are compared with."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_study import dataset, saving

import server.stages.export
from fedrobust.edge.about import About
from fedrobust.runs.folder import RunFolder
from server.stages.export import export_student


class Student:
    """The evaluator of a student, which notes in which space it is asked for answers."""

    def __init__(self, space="prepared"):
        self.dataset, self.asked, self.settings = dataset(), [], SimpleNamespace(space=space)
        self.classifier = SimpleNamespace(
            name="tiny", deployable=saving, save=lambda weights, path: saving(weights).save(path)
        )

    def of_model(self, classifier, space=""):
        return SimpleNamespace(answers=lambda weights: self.answers(weights, classifier, space))

    def answers(self, weights, classifier=None, space="its own"):
        self.asked.append((classifier or self.classifier, space, weights))
        return SimpleNamespace(test="logits")


@pytest.fixture
def handed(monkeypatch):
    """What is handed over to those who write and measure files."""
    given = {"written": []}

    def calibration_sample(split, seed):
        given["calibration_sample"] = (split, seed)
        return split

    def written(model, path, formats, calibration, images, labels, logits, about, stem):
        given["written"].append((path, formats, calibration, images, labels, logits, about, stem))
        changed = (("float32", 0), ("int8", 3), ("dynamic", 1))
        return [
            SimpleNamespace(
                format=form,
                file=f"{stem}.{form}.tflite",
                changed=count,
                agreement=1 - count / 100,
                metrics=SimpleNamespace(n=100),
            )
            for form, count in changed
        ]

    def record(one, alarm, taken):
        return {"format": one.format, "alarm": alarm[:40], "taken": taken}

    for name, function in (
        ("calibration_sample", calibration_sample),
        ("exported_and_measured", written),
        ("ExportRecord", SimpleNamespace(of=record)),
    ):
        monkeypatch.setattr(server.stages.export, name, function)
    return given


def test_without_formats_there_is_the_keras_file_alone(tmp_path, handed):
    student = Student()
    assert export_student(RunFolder(tmp_path), student, "taught", (), 5) == ()
    assert (tmp_path / "student.keras").read_text() == "taught"
    assert (handed["written"], student.asked) == ([], [])


@pytest.mark.parametrize(("space", "asked_in"), [("prepared", "native"), ("native", "its own")])
def test_files_for_devices_are_compared_on_native_test_images(tmp_path, handed, space, asked_in):
    student = Student(space)
    data = student.dataset
    records = export_student(RunFolder(tmp_path), student, "taught", ("float32", "int8"), 5, "bit-depth")
    assert (tmp_path / "student.keras").read_text() == "taught"
    assert handed["calibration_sample"] == (data.validation, 5)
    ((path, formats, calibration, images, labels, logits, about, stem),) = handed["written"]
    assert (path, formats, logits, stem) == (tmp_path, ("float32", "int8"), "logits", "student")
    assert about == About(("healthy", "one", "two"), (5, 4, 1), False, "student tiny", "made-up", "bit-depth")
    assert labels is data.test.labels
    for given, split in ((calibration, data.validation), (images, data.test)):
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, split.images / 255, rtol=1e-6)
    assert student.asked == [(student.classifier, asked_in, "taught")]
    assert records == (
        {"format": "float32", "alarm": "", "taken": False},
        {"format": "int8", "alarm": "student.int8.tflite changes 3 of 100 ans", "taken": False},
        {"format": "dynamic", "alarm": "", "taken": True},
    )
