"""Files are measured as they are written, and int8 is replaced where it changes too many answers."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from fedrobust.edge import measured as module
from fedrobust.edge.about import About
from fedrobust.edge.errors import ExportError, NoIntegerFormError
from fedrobust.edge.measured import exported_and_measured

ABOUT = About(("a", "b"), (4, 4, 1))


@pytest.fixture
def files(monkeypatch):
    """What was asked of those who write and measure; `changes` has the answers of 100 that a format changes."""
    given = SimpleNamespace(exported=[], measured=[], changes={}, refused=())

    def export(model, folder, formats, calibration, stem, about):
        given.exported.append((model, folder, tuple(formats), calibration, stem, about))
        for form in formats:
            if form in given.refused:
                raise NoIntegerFormError(f"{form}: no form", form)
        return {form: Path(f"{stem}.{form}.tflite") for form in formats}

    def measure_export(path, logits, images, labels, multilabel, **settings):
        given.measured.append((path.name, logits, images, labels, multilabel, settings))
        form = path.suffixes[0][1:]
        return SimpleNamespace(
            format=form, changed=given.changes.get(form, 0), metrics=SimpleNamespace(n=100)
        )

    monkeypatch.setattr(module, "export", export)
    monkeypatch.setattr(module, "measure_export", measure_export)
    return given


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({"int8": 2}, ["float32", "int8"]),
        ({"int8": 3}, ["float32", "int8", "dynamic"]),
        ({"int8": 3, "dynamic": 4}, ["float32", "int8", "dynamic", "float16"]),
        ({"int8": 3, "dynamic": 4, "float16": 5}, ["float32", "int8", "dynamic", "float16"]),
        ({"float32": 9}, ["float32", "int8"]),
    ],
)
def test_int8_is_replaced_where_it_changes_too_many_answers(files, changes, written):
    files.changes = changes
    given = ("calibration", "images", "labels", "logits", ABOUT)
    found = exported_and_measured(
        "model", Path("out"), ("float32", "int8", "float32"), *given, stem="s", runs=3
    )
    assert [one.format for one in found] == written
    assert files.exported[0] == ("model", Path("out"), ("float32", "int8"), "calibration", "s", ABOUT)
    assert [formats for _, _, formats, *_ in files.exported[1:]] == [(form,) for form in written[2:]]
    assert files.measured[0] == ("s.float32.tflite", "logits", "images", "labels", False, {"runs": 3})


@pytest.mark.parametrize(
    ("formats", "refused", "written"),
    [
        (("float32", "int8"), ["int8"], ["float32", "dynamic"]),
        (("int8",), ["int8"], ["dynamic"]),
        (("int8", "float16"), ["int8"], ["float16"]),
        (("float32", "int16x8"), ["int16x8"], ["float32"]),
        (("int8", "int16x8"), ["int8", "int16x8"], ["dynamic"]),
    ],
)
def test_a_model_without_an_integer_form_gets_another_format_and_says_so(files, formats, refused, written):
    files.refused, said = refused, []
    given = ("calibration", "images", "labels", "logits", ABOUT)
    found = exported_and_measured("model", Path("out"), formats, *given, refused=said.append)
    assert [one.format for one in found] == written
    assert said == [f"{form}: no form" for form in refused]


def test_it_is_an_error_where_nobody_is_told(files):
    files.refused = ["int8"]
    with pytest.raises(ExportError, match="int8: no form"):
        exported_and_measured(
            "model", Path("out"), ("int8",), "calibration", "images", "labels", "logits", ABOUT
        )
