"""The student's files for devices, and what they are compared with."""

from pathlib import Path
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
    """What is handed over to those who write and measure files; `changes` has the answers that a format changes."""
    given = {"measured": [], "export": [], "changes": {}}

    def calibration_sample(split, seed):
        given["calibration_sample"] = (split, seed)
        return split

    def export(model, path, formats, calibration, stem, about):
        given["export"].append((path, tuple(formats), calibration, stem, about))
        return {form: Path(f"{stem}.{form}.tflite") for form in formats}

    def measure_export(path, *each):
        given["measured"].append(each)
        form = path.suffixes[0][1:]
        changed = given["changes"].get(form, 0)
        return SimpleNamespace(
            format=form,
            file=path.name,
            changed=changed,
            agreement=1 - changed / 100,
            metrics=SimpleNamespace(n=100),
        )

    def record(one, alarm, taken):
        return {"file": one.file, "alarm": bool(alarm), "taken": taken}

    for name, function in (
        ("calibration_sample", calibration_sample),
        ("export", export),
        ("measure_export", measure_export),
        ("ExportRecord", SimpleNamespace(of=record)),
    ):
        monkeypatch.setattr(server.stages.export, name, function)
    return given


def test_without_formats_there_is_the_keras_file_alone(tmp_path, handed):
    student = Student()
    assert export_student(RunFolder(tmp_path), student, "taught", (), 5) == ()
    assert (tmp_path / "student.keras").read_text() == "taught"
    assert (handed["export"], handed["measured"], student.asked) == ([], [], [])


@pytest.mark.parametrize(("space", "asked_in"), [("prepared", "native"), ("native", "its own")])
def test_files_for_devices_are_compared_on_native_test_images(tmp_path, handed, space, asked_in):
    student = Student(space)
    images = student.dataset
    records = export_student(RunFolder(tmp_path), student, "taught", ("float32", "int8"), 5, "bit-depth")
    assert (tmp_path / "student.keras").read_text() == "taught"
    assert handed["calibration_sample"] == (images.validation, 5)
    ((path, formats, calibration, stem, about),) = handed["export"]
    assert (path, formats, stem) == (tmp_path, ("float32", "int8"), "student")
    assert about == About(("healthy", "one", "two"), (5, 4, 1), False, "student tiny", "made-up", "bit-depth")
    assert calibration.dtype == np.float32
    np.testing.assert_allclose(calibration, images.validation.images / 255, rtol=1e-6)
    assert student.asked == [(student.classifier, asked_in, "taught")]
    assert records == (
        {"file": "student.float32.tflite", "alarm": False, "taken": False},
        {"file": "student.int8.tflite", "alarm": False, "taken": True},
    )
    for logits, test, labels, multilabel in handed["measured"]:
        assert not multilabel
        assert (logits, test.dtype) == ("logits", np.float32)
        np.testing.assert_allclose(test, images.test.images / 255, rtol=1e-6)
        assert labels is images.test.labels


@pytest.mark.parametrize(
    ("changes", "written", "taken"),
    [
        ({"int8": 2}, ["float32", "int8"], "int8"),
        ({"int8": 3}, ["float32", "int8", "dynamic"], "dynamic"),
        ({"int8": 3, "dynamic": 4}, ["float32", "int8", "dynamic", "float16"], "float16"),
        ({"int8": 3, "dynamic": 4, "float16": 5}, ["float32", "int8", "dynamic", "float16"], "float32"),
    ],
)
def test_where_int8_changes_too_many_answers_there_is_another_file_to_take(
    tmp_path, handed, changes, written, taken
):
    handed["changes"] = changes
    records = export_student(RunFolder(tmp_path), Student(), "taught", ("float32", "int8"), 5)
    assert [one["file"].split(".")[1] for one in records] == written
    assert [one["file"].split(".")[1] for one in records if one["taken"]] == [taken]
    assert [one["file"].split(".")[1] for one in records if one["alarm"]] == [
        form for form in written if changes.get(form, 0) > 2
    ]
