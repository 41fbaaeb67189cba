import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from fedrobust.edge.errors import ExportError
from fedrobust.edge.export import check_tensors, export, spanning
from fedrobust.edge.formats import FORMATS
from fedrobust.edge.interpreter import Interpreter


def test_the_model_under_test_has_learnt(study):
    assert np.mean(study.logits.argmax(axis=1) == study.labels) > 0.95
    assert np.ptp(study.logits) > 2


def test_the_files_are_named_after_their_formats_and_nothing_else_is_left(exported):
    folder = exported["int8"].parent
    assert list(exported) == ["float32", "float16", "dynamic", "int8", "int16x8"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "classify.py",
        "labels.txt",
        "student.dynamic.tflite",
        "student.float16.tflite",
        "student.float32.tflite",
        "student.int16x8.tflite",
        "student.int8.tflite",
    ]


def test_float32_gives_keras_logits(study, exported):
    logits = Interpreter.open(exported["float32"]).logits(study.images)
    np.testing.assert_allclose(logits, study.logits, atol=1e-4)


def test_int8_agrees_with_keras(study, exported):
    logits = Interpreter.open(exported["int8"]).logits(study.images)
    assert np.mean(logits.argmax(axis=1) == study.logits.argmax(axis=1)) >= 0.95
    assert np.abs(logits - study.logits).max() < 0.15 * np.ptp(study.logits)


@pytest.mark.parametrize(("form", "least"), [("float16", 0.99), ("dynamic", 0.95), ("int16x8", 0.98)])
def test_the_other_formats_agree_with_keras(study, exported, form, least):
    logits = Interpreter.open(exported[form]).logits(study.images)
    assert np.mean(logits.argmax(axis=1) == study.logits.argmax(axis=1)) >= least


def test_float16_halves_and_int16x8_computes_in_16_bits(exported):
    from ai_edge_litert.interpreter import Interpreter as Runtime

    kinds = {
        form: {
            each["dtype"].__name__ for each in Runtime(model_path=str(exported[form])).get_tensor_details()
        }
        for form in ("float16", "int16x8")
    }
    assert "float16" in kinds["float16"]
    assert {"int16", "int8"} <= kinds["int16x8"]


def test_int8_is_int8_from_end_to_end(exported):
    from ai_edge_litert.interpreter import Interpreter as Runtime

    runtime = Runtime(model_path=str(exported["int8"]))
    assert runtime.get_input_details()[0]["dtype"] is np.int8
    assert runtime.get_output_details()[0]["dtype"] is np.int8
    assert not any(details["dtype"] is np.float32 for details in runtime.get_tensor_details())


def test_int8_weights_take_a_quarter_of_the_room(study, exported):
    # Five thousand parameters: what the two files have in common (operations, names) is small beside them.
    saved = exported["float32"].stat().st_size - exported["int8"].stat().st_size
    kernels = sum(int(np.prod(v.shape)) for v in study.model.trainable_variables if len(v.shape) > 1)
    assert saved > 0.6 * 3 * kernels


def test_every_8_bit_pixel_has_its_own_code(exported):
    code = Interpreter.open(exported["int8"]).input_code
    pixels = (np.arange(256) / 255).astype(np.float32)
    assert code.quantise(pixels).tolist() == list(range(-128, 128))
    np.testing.assert_allclose(code.dequantise(code.quantise(pixels)), pixels, atol=1e-6)


def test_spanning_changes_two_corners_of_a_copy():
    calibration = np.full((3, 4, 4, 1), 0.5, np.float32)
    copy = spanning(calibration)
    assert (copy.min(), copy.max(), np.count_nonzero(copy != 0.5)) == (0.0, 1.0, 2)
    assert np.all(calibration == 0.5)


def test_exporting_again_replaces_the_file(study, tmp_path):
    path = tmp_path / "model.float32.tflite"
    path.write_bytes(b"old")
    assert export(study.model, tmp_path, ["float32"]) == {"float32": path}
    assert path.read_bytes()[4:8] == b"TFL3"
    assert list(tmp_path.iterdir()) == [path]


def test_exporting_leaves_the_model_as_it_was(study, exported):
    np.testing.assert_array_equal(np.asarray(study.model(study.images, training=False)), study.logits)


def test_conversion_leaves_no_saved_model_behind(study, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    export(study.model, tmp_path / "made" / "on the way", ["int8"], study.calibration[:10])
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("formats", [["float8"], ["int8", "tensorrt"], []])
def test_an_unknown_format_is_refused_with_those_known(study, tmp_path, formats):
    with pytest.raises(ValueError, match="float32, float16, dynamic, int8, int16x8, onnx"):
        export(study.model, tmp_path, formats, study.calibration)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images: None, "needs training images"),
        (lambda images: (255 * images).astype(np.uint8), "uint8"),
        (lambda images: 255 * images, r"in \[0, 1\]"),
        (lambda images: images[:0], "n >= 1"),
        (lambda images: images[:, :14], r"\(n, 28, 28, 1\)"),
        (lambda images: np.where(images < 0.2, np.nan, images), r"in \[0, 1\]"),
    ],
)
def test_unfit_calibration_is_refused_before_anything_is_written(study, tmp_path, spoil, message):
    with pytest.raises(ValueError, match=message):
        export(study.model, tmp_path, ["float32", "int8"], spoil(study.calibration))
    assert list(tmp_path.iterdir()) == []


def test_an_operation_that_litert_lacks_is_named(tmp_path, capfd):
    import keras
    import tensorflow as tf

    inputs = keras.Input((4, 4, 1))
    x = keras.layers.Lambda(lambda images: tf.raw_ops.Betainc(a=images, b=images, x=images))(inputs)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    with pytest.raises(ExportError, match="no built-in operation for: Betainc"):
        export(model, tmp_path, ["float32"])
    assert list(tmp_path.iterdir()) == []
    assert "Betainc" in capfd.readouterr().err


def test_a_model_of_another_interface_is_refused(tmp_path):
    import keras

    vector = keras.Input((4,))
    with pytest.raises(ExportError, match=r"\(None, 4\)"):
        export(keras.Model(vector, keras.layers.Dense(2)(vector)), tmp_path, ["float32"])
    image = keras.Input((4, 4, 1))
    with pytest.raises(ExportError, match="classes"):
        export(keras.Model(image, keras.layers.Conv2D(2, 3)(image)), tmp_path, ["float32"])


def test_a_file_of_another_type_than_its_name_says_is_refused(exported):
    with pytest.raises(ExportError, match="input float32, output float32"):
        check_tensors(exported["float32"].read_bytes(), FORMATS["int8"])
    with pytest.raises(ExportError, match="input int8, output int8"):
        check_tensors(exported["int8"].read_bytes(), FORMATS["float32"])
    with pytest.raises(ExportError, match="foreign"):
        check_tensors(exported["dynamic"].read_bytes(), FORMATS["float32"])


def test_nothing_is_printed_when_all_goes_well(study, tmp_path, capfd):
    capfd.readouterr()
    paths = export(study.model, tmp_path, ["float32", "int8"], study.calibration[:10])
    Interpreter.open(paths["int8"]).logits(study.images[:2])
    assert capfd.readouterr() == ("", "")


def test_importing_the_room_does_not_import_tensorflow():
    names = [path.stem for path in (Path(__file__).parents[2] / "fedrobust" / "edge").glob("[a-z]*.py")]
    code = "import sys\n" + "\n".join(f"import fedrobust.edge.{name}" for name in names)
    code += "\nprint([name for name in ('tensorflow', 'keras', 'ai_edge_litert') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
