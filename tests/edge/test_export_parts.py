"""The parts of an export that need no converter: what is asked of it, what is seen to, and what is said."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.edge import export as module
from fedrobust.edge.errors import ExportError
from fedrobust.edge.export import (
    check_exportable,
    check_tensors,
    converted,
    export,
    image_shape,
    reason,
    spanning,
)
from fedrobust.edge.formats import FORMATS, one_by_one


@pytest.fixture(scope="module")
def model():
    """A network of one product, which nobody needs to train or to convert."""
    import keras

    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))


def model_of(inputs, outputs):
    return SimpleNamespace(
        inputs=[SimpleNamespace(shape=shape) for shape in inputs],
        outputs=[SimpleNamespace(shape=shape) for shape in outputs],
    )


def test_the_shape_of_images_is_that_of_the_only_input():
    assert image_shape(model_of([(None, 5, 4, 3)], [(None, 2)])) == (5, 4, 3)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            [(None, 5, 4, 3)] * 2,
            [(None, 2)],
            r"takes \[\(None, 5, 4, 3\), \(None, 5, 4, 3\)\]: only one input",
        ),
        ([(None, 5, 4)], [(None, 2)], r"takes \[\(None, 5, 4\)\]: only one input"),
        ([(None, 5, None, 3)], [(None, 2)], r"takes \[\(None, 5, None, 3\)\]: only one input"),
        ([], [(None, 2)], r"takes \[\]"),
        ([(None, 5, 4, 3)], [(None, 2)] * 2, r"returns \[\(None, 2\), \(None, 2\)\]: only one output"),
        ([(None, 5, 4, 3)], [(None, 2, 2)], r"returns \[\(None, 2, 2\)\]: only one output"),
    ],
)
def test_another_interface_is_named_as_it_is(inputs, outputs, message):
    with pytest.raises(ExportError, match=f"^the model {message}"):
        image_shape(model_of(inputs, outputs))


def test_two_corners_make_calibration_span_the_range_and_nothing_else_changes(draw):
    images = draw.uniform(0.3, 0.6, (3, 4, 5, 2)).astype(np.float32)
    before = images.copy()
    copy = spanning(images)
    np.testing.assert_array_equal(images, before)
    assert (copy[0, 0, 0, 0], copy[0, 3, 4, 1]) == (0.0, 1.0)
    changed = np.argwhere(copy != images).tolist()
    assert changed == [[0, 0, 0, 0], [0, 3, 4, 1]]


def test_calibration_images_go_one_by_one(draw):
    images = draw.random((3, 4, 5, 2)).astype(np.float32)
    batches = list(one_by_one(images)())
    assert [len(batch) for batch in batches] == [1, 1, 1]
    np.testing.assert_array_equal(np.stack([batch[0] for batch in batches]), images[:, None])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("\n first\nsecond", "first"),
        (
            "first\n  Flex ops: FlexErf, FlexSin\nlast",
            "LiteRT has no built-in operation for: FlexErf, FlexSin",
        ),
        ("first\nCustom ops: Betainc", "LiteRT has no built-in operation for: Betainc"),
        (" \n", "the converter gave no reason"),
        ("", "the converter gave no reason"),
    ],
)
def test_the_converters_reason_is_the_operation_or_its_first_line(said, told):
    assert reason(said) == told


@pytest.fixture
def converter(monkeypatch):
    """Return what a converter is set to, that answers or refuses instead of converting."""
    import tensorflow as tf

    made = SimpleNamespace(target_spec=SimpleNamespace(), refusal=None)

    def convert():
        if made.refusal:
            raise RuntimeError(made.refusal)
        return bytearray(b"content")

    made.convert = convert

    def from_functions(functions, trackable):
        made.functions = functions
        assert isinstance(trackable, tf.Module)
        return made

    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_concrete_functions", staticmethod(from_functions))
    return made


def test_each_format_sets_the_converter_to_what_its_name_says(converter, draw):
    import tensorflow as tf

    images = draw.random((2, 4, 4, 1)).astype(np.float32)
    assert converted("inference", FORMATS["float32"], None) == b"content"
    assert converter.functions == ["inference"]
    assert converter.target_spec.supported_ops == [tf.lite.OpsSet.TFLITE_BUILTINS]
    assert not hasattr(converter, "optimizations")
    converted("inference", FORMATS["dynamic"], images)
    assert converter.optimizations == [tf.lite.Optimize.DEFAULT]
    assert converter.target_spec.supported_ops == [tf.lite.OpsSet.TFLITE_BUILTINS]
    assert not hasattr(converter, "representative_dataset"), "only int8 is calibrated"
    converted("inference", FORMATS["int8"], images)
    assert converter.target_spec.supported_ops == [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    assert (converter.inference_input_type, converter.inference_output_type) == (tf.int8, tf.int8)
    assert len(list(converter.representative_dataset())) == 2


def test_a_refusal_names_the_format_and_keeps_its_cause(converter):
    converter.refusal = "no\nCustom ops: Betainc"
    with pytest.raises(
        ExportError,
        match=r"^the model cannot be exported as dynamic: LiteRT has no built-in operation for: B",
    ) as refusal:
        converted("inference", FORMATS["dynamic"], None)
    assert isinstance(refusal.value.__cause__, RuntimeError)


def test_a_network_that_cannot_be_traced_is_refused_in_a_sentence(model, tmp_path, monkeypatch):
    def traced(network, shape):
        assert shape == (4, 4, 1)
        raise KeyError("its own\nfault")

    monkeypatch.setattr(module, "traced", traced)
    with pytest.raises(ExportError, match=r"^the model cannot be exported: .*its own") as refusal:
        export(model, tmp_path, ["float32"])
    assert isinstance(refusal.value.__cause__, KeyError)


def test_formats_are_written_once_in_the_order_asked_for(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "traced", lambda model, shape: "inference")
    asked, checked = [], []

    def converted(inference, form, samples):
        asked.append((inference, form.name, samples))
        return form.name.encode()

    monkeypatch.setattr(module, "converted", converted)
    monkeypatch.setattr(module, "check_tensors", lambda content, form: checked.append((content, form.name)))
    folder, images = tmp_path / "made" / "on the way", np.full((3, 4, 4, 1), 0.5, np.float32)
    paths = export(model, folder, ["dynamic", "float32", "dynamic"])
    assert list(paths) == ["dynamic", "float32"]
    assert {name: path.read_bytes() for name, path in paths.items()} == {
        "dynamic": b"dynamic",
        "float32": b"float32",
    }
    assert [path.name for path in paths.values()] == ["model.dynamic.tflite", "model.float32.tflite"]
    assert asked == [("inference", "dynamic", None), ("inference", "float32", None)]
    assert checked == [(b"dynamic", "dynamic"), (b"float32", "float32")]
    paths = export(model, folder, calibration=images, stem="student")
    assert [path.name for path in paths.values()] == ["student.float32.tflite", "student.int8.tflite"]
    np.testing.assert_array_equal(asked[-1][2], spanning(images))


def test_a_file_that_is_not_what_its_name_says_does_not_appear(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "traced", lambda model, shape: "inference")
    monkeypatch.setattr(module, "converted", lambda inference, form, samples: b"content")

    def check_tensors(content, form):
        raise ExportError("foreign")

    monkeypatch.setattr(module, "check_tensors", check_tensors)
    with pytest.raises(ExportError, match="foreign"):
        export(model, tmp_path, ["float32"])
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_tried_on_images_from_black_to_white_and_leaves_no_file(monkeypatch, tmp_path):
    tried = []

    def export(model, folder, formats, calibration):
        tried.append((model, folder, formats, calibration))
        assert folder.is_dir()
        assert folder.name.startswith("fedrobust-")

    monkeypatch.setattr(module, "export", export)
    model = model_of([(None, 5, 4, 3)], [(None, 2)])
    check_exportable(model, ("int8",))
    ((given, folder, formats, calibration),) = tried
    assert given is model
    assert formats == ("int8",)
    assert calibration.dtype == np.float32
    expected = np.broadcast_to(np.array([0, 1 / 3, 2 / 3, 1]).reshape(4, 1, 1, 1), (4, 5, 4, 3))
    np.testing.assert_allclose(calibration, expected, atol=1e-7)
    assert not folder.exists()


def details(dtype, name="tensor"):
    return {"dtype": dtype, "name": name}


@pytest.fixture
def file_of(monkeypatch):
    """Let a file's content be opened as tensors of given types."""
    import ai_edge_litert.interpreter as litert

    def set_tensors(inputs, outputs, between=()):
        class Runtime:
            def __init__(self, model_content, experimental_op_resolver_type):
                assert model_content == b"content"
                plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                assert experimental_op_resolver_type is plain

            def get_input_details(self):
                return [details(each) for each in inputs]

            def get_output_details(self):
                return [details(each) for each in outputs]

            def get_tensor_details(self):
                return [details(each, name) for name, each in between]

        monkeypatch.setattr(litert, "Interpreter", Runtime)

    return set_tensors


def test_tensors_of_the_formats_types_pass(file_of):
    file_of([np.int8], [np.int8], [("a", np.int8), ("b", np.int32)])
    check_tensors(b"content", FORMATS["int8"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "found"),
    [
        ([np.float32], [np.int8], "input float32, output int8"),
        ([np.int8], [np.float32], "input int8, output float32"),
        ([np.int8, np.int8], [np.int8], "input int8, input int8, output int8"),
    ],
)
def test_the_interface_is_told_as_it_came_out(file_of, inputs, outputs, found):
    file_of(inputs, outputs)
    message = f"^int8 came out with {found}; its input and output must be int8$"
    with pytest.raises(ExportError, match=message):
        check_tensors(b"content", FORMATS["int8"])


def test_foreign_tensors_are_counted_and_the_first_is_named(file_of):
    between = [("a", np.int8), ("b", np.float16), ("c", np.float32)]
    file_of([np.int8], [np.int8], between)
    with pytest.raises(
        ExportError,
        match=r"^int8 cannot be written: an operation has no int8 form; .* "
        r"\(2 foreign tensors, the first: b \(float16\)\)$",
    ):
        check_tensors(b"content", FORMATS["int8"])


def test_a_model_of_mixed_precision_is_refused_in_a_sentence(tmp_path):
    import keras

    inputs = keras.Input((8, 8, 1))
    mixed = keras.layers.Conv2D(2, 3, name="half", dtype="mixed_float16")
    body = keras.Model(inputs, keras.layers.Flatten()(mixed(inputs)))
    outer = keras.Input((8, 8, 1))
    model = keras.Model(outer, keras.layers.Dense(2)(body(outer)))
    with pytest.raises(ExportError, match=r"layer 'half' computes in float16 \(mixed precision\)"):
        export(model, tmp_path, ("float32",))
    assert list(tmp_path.iterdir()) == []
