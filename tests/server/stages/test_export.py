"""The student's files for devices, and what they are compared with."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_study import dataset, saving

import server.stages.export
from fedrobust.runs.folder import RunFolder
from server.stages.export import export_student


class Student:
    """The evaluator of a student, which notes in which space it is asked for answers."""

    def __init__(self, space="prepared"):
        self.dataset, self.asked, self.settings = dataset(), [], SimpleNamespace(space=space)
        self.classifier = SimpleNamespace(
            deployable=saving, save=lambda weights, path: saving(weights).save(path)
        )

    def of_model(self, classifier, space=""):
        return SimpleNamespace(answers=lambda weights: self.answers(weights, classifier, space))

    def answers(self, weights, classifier=None, space="its own"):
        self.asked.append((classifier or self.classifier, space, weights))
        return SimpleNamespace(test="logits")


@pytest.fixture
def handed(monkeypatch):
    """What is handed over to those who write and measure files, by their names."""
    given = {"measured": []}

    def note(name, answer):
        def called(*each, **more):
            given[name] = (*each, more)
            return answer(*each)

        monkeypatch.setattr(server.stages.export, name, called)

    note("calibration_sample", lambda split, seed: split)
    note("export", lambda *each: {"float32": "a.tflite", "int8": "b.tflite"})

    def measure_export(*each):
        given["measured"].append(each)
        return each[0]

    monkeypatch.setattr(server.stages.export, "measure_export", measure_export)
    monkeypatch.setattr(server.stages.export, "ExportRecord", SimpleNamespace(of=lambda name: {"file": name}))
    return given


def test_without_formats_there_is_the_keras_file_alone(tmp_path, handed):
    student = Student()
    assert export_student(RunFolder(tmp_path), student, "taught", (), 5) == ()
    assert (tmp_path / "student.keras").read_text() == "taught"
    assert (handed, student.asked) == ({"measured": []}, [])


@pytest.mark.parametrize(("space", "asked_in"), [("prepared", "native"), ("native", "its own")])
def test_files_for_devices_are_compared_on_native_test_images(tmp_path, handed, space, asked_in):
    student = Student(space)
    images = student.dataset
    records = export_student(RunFolder(tmp_path), student, "taught", ("float32", "int8"), 5)
    assert (tmp_path / "student.keras").read_text() == "taught"
    assert handed["calibration_sample"] == (images.validation, 5, {})
    _, path, formats, calibration, more = handed["export"]
    assert (path, formats, more) == (tmp_path, ("float32", "int8"), {"stem": "student"})
    assert calibration.dtype == np.float32
    np.testing.assert_allclose(calibration, images.validation.images / 255, rtol=1e-6)
    assert student.asked == [(student.classifier, asked_in, "taught")]
    assert records == ({"file": "a.tflite"}, {"file": "b.tflite"})
    for _, logits, test, labels, multilabel in handed["measured"]:
        assert not multilabel
        assert (logits, test.dtype) == ("logits", np.float32)
        np.testing.assert_allclose(test, images.test.images / 255, rtol=1e-6)
        assert labels is images.test.labels
