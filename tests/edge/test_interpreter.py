import numpy as np
import pytest

from fedrobust.edge.interpreter import Interpreter, Quantisation, code_of


def test_quantising_rounds_to_the_nearest_code_and_clips():
    code = Quantisation(scale=0.5, zero_point=3)
    values = np.array([0.0, 0.5, -0.5, 0.6, 0.8, 62.0, 63.0, -65.5, -70.0], np.float32)
    assert code.quantise(values).tolist() == [3, 4, 2, 4, 5, 127, 127, -128, -128]
    assert code.dequantise(np.array([3, 4, -128, 127], np.int8)).tolist() == [0.0, 0.5, -65.5, 62.0]


@pytest.mark.parametrize(("scale", "zero_point"), [(1 / 255, -128), (0.037, 5), (2.5, 127)])
def test_the_round_trip_errs_by_half_a_step_at_most(scale, zero_point):
    code = Quantisation(scale, zero_point)
    low, high = scale * (-128 - zero_point), scale * (127 - zero_point)
    values = np.random.default_rng(0).uniform(low, high, 5000).astype(np.float32)
    error = np.abs(code.dequantise(code.quantise(values)) - values)
    assert error.max() <= scale / 2 * (1 + 1e-4)
    assert error.max() > scale / 2 * 0.98


def test_every_code_survives_the_way_back():
    codes = np.arange(-128, 128).astype(np.int8)
    code = Quantisation(0.037, 5)
    assert np.array_equal(code.quantise(code.dequantise(codes)), codes)


def test_other_types_are_not_guessed_at():
    with pytest.raises(ValueError, match="int32: only float32 and quantised int8 and uint8 are read"):
        code_of({"name": "x", "dtype": np.int32, "quantization": (1.0, 0)})
    with pytest.raises(ValueError, match="uint8"):
        code_of({"name": "not quantised", "dtype": np.uint8, "quantization": (0.0, 0)})


def test_a_code_of_uint8_is_that_of_int8_moved_by_128():
    values = np.random.default_rng(0).uniform(-1, 2, 1000).astype(np.float32)
    signed, unsigned = Quantisation(1 / 255, -128), Quantisation(1 / 255, 0, "uint8")
    assert signed.ends == unsigned.ends == (0.0, 1.0)
    codes = unsigned.quantise(values)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes.astype(int) - 128, signed.quantise(values))
    assert np.array_equal(unsigned.dequantise(codes), signed.dequantise(signed.quantise(values)))


def test_a_file_of_uint8_answers_as_its_network(tmp_path):
    path = tmp_path / "own.tflite"
    path.write_bytes(uint8_file())
    images = np.random.default_rng(0).random((7, 4, 4, 1)).astype(np.float32)
    interpreter = Interpreter.open(path)
    kernel = (np.arange(32).reshape(16, 2) / 32 - 0.5).astype(np.float32)
    assert interpreter.input_code.dtype == "uint8"
    np.testing.assert_allclose(interpreter.logits(images), images.reshape(7, 16) @ kernel, atol=0.1)


@pytest.mark.parametrize("format", ["float32", "dynamic", "int8"])
@pytest.mark.parametrize("batch", [1, 64])
def test_an_image_gets_the_same_logits_in_any_batch(study, exported, format, batch):
    # 70 images in batches of 64 leave a tail of 6; afterwards the interpreter goes back to a full batch.
    interpreter = Interpreter.open(exported[format], batch=batch)
    first, again = interpreter.logits(study.images[:70]), interpreter.logits(study.images[:70])
    whole = Interpreter.open(exported[format], batch=70).logits(study.images[:70])
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    # Dynamic quantisation takes a scale from the batch, so its last bits may differ with it.
    np.testing.assert_allclose(first, whole, atol=0 if format == "int8" else 1e-5)


def test_the_number_of_threads_does_not_change_int8(study, exported):
    one, two = (Interpreter.open(exported["int8"], threads).logits(study.images[:9]) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images: images[..., 0], "shape"),
        (lambda images: images[:0], "n >= 1"),
        (lambda images: images - 0.5, r"in \[0, 1\]"),
        (lambda images: np.full_like(images, np.nan), r"in \[0, 1\]"),
        (lambda images: (255 * images).astype(np.uint8), "images / 255"),
    ],
)
def test_unfit_images_are_refused(study, exported, spoil, message):
    with pytest.raises(ValueError, match=message):
        Interpreter.open(exported["int8"]).logits(spoil(study.images[:3]))


@pytest.mark.parametrize("setting", [{"threads": 0}, {"batch": 0}])
def test_no_thread_and_no_batch_are_refused(exported, setting):
    with pytest.raises(ValueError, match="1 or more"):
        Interpreter.open(exported["int8"], **setting)


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "model.int8.tflite"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match="model"):
        Interpreter.open(path)


def converted(layers, **settings):
    """A LiteRT file's content of a small network, converted with other settings than the export's."""
    import keras
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Sequential(layers))
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


def uint8_file():
    import keras
    import tensorflow as tf

    images = np.random.default_rng(1).random((50, 4, 4, 1)).astype(np.float32)
    dense = keras.layers.Dense(2)
    dense.build((None, 16))
    dense.set_weights([(np.arange(32).reshape(16, 2) / 32 - 0.5).astype(np.float32), np.zeros(2, np.float32)])
    return converted(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), dense],
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([image[None]] for image in images),
        inference_input_type=tf.uint8,
        inference_output_type=tf.uint8,
    )


def vector_file():
    import keras

    return converted([keras.Input((5,)), keras.layers.Dense(2)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (vector_file, "one batch of images"),
        (lambda: b"", "LiteRT cannot open it"),
        (lambda: b"\x1c\0\0\0TFL3" + bytes(64), "LiteRT cannot open it"),
        (lambda: b"no model", "LiteRT cannot open it"),
    ],
)
def test_files_of_other_kinds_are_refused_with_a_sentence(tmp_path, content, message):
    from fedrobust.edge.interpreter import LiteRTFileError

    path = tmp_path / "own.tflite"
    path.write_bytes(content())
    with pytest.raises(LiteRTFileError, match=message):
        Interpreter.open(path)
