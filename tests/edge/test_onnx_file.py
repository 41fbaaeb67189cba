"""ONNX files give the logits of Keras, and name their labels; what is missing is said."""

import json
import sys

import numpy as np
import pytest

from fedrobust.edge.about import About
from fedrobust.edge.errors import ExportError
from fedrobust.edge.export import export
from fedrobust.edge.interpreter import LiteRTFileError
from fedrobust.edge.onnx_file import OnnxInterpreter
from fedrobust.edge.result import measure_export

ABOUT = About(("small", "large", "no disc"), (28, 28, 1))


@pytest.fixture(scope="module")
def file(study, tmp_path_factory):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    return export(study.model, tmp_path_factory.mktemp("onnx"), ["onnx"], stem="student", about=ABOUT)["onnx"]


def test_onnx_gives_keras_logits_in_every_batch_size(study, file):
    assert file.name == "student.onnx"
    opened = OnnxInterpreter.open(file, batch=48)
    assert opened.image_shape == (28, 28, 1)
    np.testing.assert_allclose(opened.logits(study.images), study.logits, atol=1e-4)


def test_its_inputs_outputs_and_labels_are_named(file):
    session = OnnxInterpreter.open(file).session
    assert [each.name for each in session.get_inputs()] == ["images"]
    assert len(session.get_outputs()) == 1
    about = json.loads(session.get_modelmeta().custom_metadata_map["fedrobust"])
    assert About.of(about) == ABOUT


def test_it_is_measured_like_the_others(study, file):
    result = measure_export(file, study.logits, study.images, study.labels, runs=3)
    assert (result.format, result.changed, result.agreement) == ("onnx", 0, 1.0)
    assert result.bytes == file.stat().st_size


def test_without_the_converter_the_extra_is_named(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ExportError, match=r"pip install 'fedrobust\[onnx\]'"):
        export(study.model, tmp_path, ["onnx"])


def test_a_damaged_file_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(LiteRTFileError, match="cannot open it"):
        OnnxInterpreter.open(tmp_path / "a.onnx")
