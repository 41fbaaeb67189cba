"""How LiteRT is asked, with a runtime that notes it."""

from pathlib import Path

import numpy as np
import pytest

from fedrobust.edge.interpreter import Interpreter, LiteRTFileError, Quantisation, code_of, unit_images


class Runtime:
    """Two logits an image: the sum of its codes, and how many images the batch has."""

    def __init__(self, model_path, num_threads):
        self.opened, self.shape, self.calls = (model_path, num_threads), (1, 2, 3, 1), []

    def allocate_tensors(self):
        self.calls.append(("allocate", self.shape))

    def get_input_details(self):
        return [{"index": 5, "shape": np.array(self.shape), "dtype": np.float32, "name": "images"}]

    def get_output_details(self):
        return [{"index": 7, "shape": np.array([1, 2]), "dtype": np.float32, "name": "logits"}]

    def resize_tensor_input(self, index, shape):
        assert index == 5
        self.shape = shape

    def set_tensor(self, index, codes):
        assert index == 5
        assert codes.shape == self.shape
        self.codes = codes

    def invoke(self):
        sums = self.codes.sum((1, 2, 3))
        self.logits = np.stack([sums, np.full_like(sums, len(sums))], 1)
        self.calls.append("invoke")

    def get_tensor(self, index):
        assert index == 7
        return self.logits


@pytest.fixture
def opened(monkeypatch):
    import ai_edge_litert.interpreter as litert

    monkeypatch.setattr(litert, "Interpreter", Runtime)
    return lambda **settings: Interpreter.open(Path("model.tflite"), **settings)


def test_a_file_is_opened_with_its_threads_and_64_images_at_once(opened):
    interpreter = opened()
    assert interpreter.runtime.opened == ("model.tflite", 1)
    assert interpreter.runtime.calls == [("allocate", (1, 2, 3, 1))]
    assert (interpreter.path, interpreter.threads, interpreter.batch) == (Path("model.tflite"), 1, 64)
    assert interpreter.image_shape == (2, 3, 1)
    assert (interpreter.input_code, interpreter.output_code) == (None, None)
    assert opened(threads=3, batch=2).runtime.opened == ("model.tflite", 3)


def test_images_go_in_batches_and_the_input_is_resized_only_for_another_one(opened, draw):
    images = draw.random((7, 2, 3, 1)).astype(np.float32)
    interpreter = opened(batch=3)
    logits = interpreter.logits(images)
    np.testing.assert_allclose(logits[:, 0], images.sum((1, 2, 3)), rtol=1e-6)
    assert logits[:, 1].tolist() == [3, 3, 3, 3, 3, 3, 1]
    assert interpreter.runtime.calls[1:] == [
        ("allocate", (3, 2, 3, 1)),
        "invoke",
        "invoke",
        ("allocate", (1, 2, 3, 1)),
        "invoke",
    ]


@pytest.mark.parametrize("settings", [{"threads": 0}, {"batch": 0}, {"threads": -1, "batch": 2}])
def test_threads_and_batch_are_at_least_one(opened, settings):
    found = {"threads": 1, "batch": 64, **settings}
    message = f"^threads = {found['threads']}, batch = {found['batch']}: choose 1 or more$"
    with pytest.raises(ValueError, match=message):
        opened(**settings)
    assert opened(threads=1, batch=1).batch == 1


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([(1, 2, 3, 1)] * 2, [(1, 2)]),
        ([(1, 2, 3, 1)], [(1, 2)] * 2),
        ([(1, 6)], [(1, 2)]),
        ([(1, 2, 3, 1)], [(1, 2, 2)]),
    ],
)
def test_another_interface_is_told_with_its_shapes(opened, monkeypatch, inputs, outputs):
    for name, shapes in (("get_input_details", inputs), ("get_output_details", outputs)):
        found = [{"shape": np.array(shape)} for shape in shapes]
        monkeypatch.setattr(Runtime, name, lambda runtime, found=found: found)
    with pytest.raises(LiteRTFileError) as refusal:
        opened()
    assert str(refusal.value) == (
        f"model.tflite: it takes {inputs} and returns {outputs}; wanted: one batch of images, "
        "(n, height, width, channels), to one row of logits an image"
    )


def test_what_litert_says_of_a_file_it_cannot_open_is_passed_on(opened, monkeypatch):
    def allocate_tensors(runtime):
        raise RuntimeError("no such operation\nat node 3")

    monkeypatch.setattr(Runtime, "allocate_tensors", allocate_tensors)
    with pytest.raises(LiteRTFileError, match=r"^model\.tflite: LiteRT cannot open it: .*no such operation"):
        opened()


def test_codes_go_in_and_come_out_of_an_int8_file():
    class Codes(Runtime):
        def invoke(self):
            assert self.codes.dtype == np.int8
            self.logits = np.stack([self.codes[:, 0, 0, 0], self.codes[:, 1, 2, 0]], 1)

    code, answer = Quantisation(1 / 255, -128), Quantisation(0.5, 3)
    interpreter = Interpreter(Path("model.tflite"), 1, 64, (2, 3, 1), code, answer, Codes("", 1))
    images = np.zeros((2, 2, 3, 1), np.float32)
    images[:, 1, 2, 0] = 1.0, 0.2
    np.testing.assert_allclose(interpreter.logits(images), [[-65.5, 62.0], [-65.5, -40.0]])


def test_the_code_of_a_tensor_is_the_files():
    found = code_of({"name": "x", "dtype": np.int8, "quantization": (np.float32(0.25), np.int64(-7))})
    assert found == Quantisation(0.25, -7)
    assert (type(found.scale), type(found.zero_point)) == (float, int)
    assert code_of({"name": "x", "dtype": np.float32}) is None
    unsigned = code_of({"name": "x", "dtype": np.uint8, "quantization": (np.float32(0.5), np.int64(3))})
    assert unsigned == Quantisation(0.5, 3, "uint8")
    # LiteRT gives scale 0 where nothing was quantised.
    for kind in (np.int32, np.int8):
        said = rf"^tensor 'x' is {kind.__name__}: only float32 and quantised int8 and uint8 are read$"
        with pytest.raises(LiteRTFileError, match=said):
            code_of({"name": "x", "dtype": kind, "quantization": (0.0, 0)})


def test_images_from_0_to_1_are_taken_in_any_float():
    images = np.array([0.0, 1.0]).reshape(2, 1, 1, 1)
    found = unit_images(images, (1, 1, 1))
    assert found.dtype == np.float32
    same = found.copy()
    assert unit_images(same, (1, 1, 1)) is same


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 1, 1, 1), np.uint8), "images are uint8: give floats in [0, 1], such as images / 255"),
        (np.zeros((2, 1, 2, 1)), "images have shape (2, 1, 2, 1): give (n, 1, 1, 1), n >= 1"),
        (np.zeros((0, 1, 1, 1)), "images have shape (0, 1, 1, 1): give (n, 1, 1, 1), n >= 1"),
        (np.full((1, 1, 1, 1), 1.5), "images run from 1.5 to 1.5: give images in [0, 1]"),
        (np.full((1, 1, 1, 1), -0.5), "images run from -0.5 to -0.5: give images in [0, 1]"),
        (np.full((1, 1, 1, 1), np.nan), "images run from nan to nan: give images in [0, 1]"),
    ],
)
def test_other_images_are_refused_with_what_they_are(images, message):
    with pytest.raises(ValueError, match="images") as refusal:
        unit_images(images, (1, 1, 1))
    assert str(refusal.value) == message
