"""A foreign model as one of native images in [0, 1] answers as the model does on its own input."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.edge.export import export
from fedrobust.edge.interpreter import Interpreter
from fedrobust.errors import ConfigError
from fedrobust.models.exportable import exportable, formatted
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.preparation import Preparation


def network(shape, units=3):
    keras.utils.set_random_seed(1)
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Dense(units)(keras.layers.Flatten()(inputs)))


@pytest.mark.parametrize(
    "text",
    [
        "0..1",
        "0..255",
        "-1..1",
        "0..255 bgr",
        "mean=0.485 0.456 0.406, std=0.229 0.224 0.225",
        "0..255, mean=103 116 123 bgr",
        "-1..1 channels-first",
        "mean=0.5, std=0.25 bgr channels-first",
    ],
)
def test_images_are_brought_into_the_format_as_attacks_bring_them(text, draw):
    images = draw.random((2, 4, 5, 3)).astype(np.float32)
    inputs = keras.Input((4, 5, 3))
    format = InputFormat.parse(text)
    outputs = formatted(inputs, format, 3)
    made = keras.Model(inputs, outputs if outputs is not inputs else keras.layers.Identity()(inputs))
    np.testing.assert_allclose(
        np.asarray(made(images)), np.asarray(format(tf.constant(images))), rtol=1e-5, atol=1e-4
    )


def test_a_model_of_any_size_is_exported_at_the_size_of_the_data(draw, tmp_path):
    inputs = keras.Input((None, None, 1))
    hidden = keras.layers.Conv2D(3, 3)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(hidden)))
    sized = exportable(model, Preparation((6, 6, 1), (6, 6, 1)), UNIT, "logits", (), "any")
    assert sized.input_shape == (None, 6, 6, 1)
    images = draw.random((3, 6, 6, 1)).astype(np.float32)
    found = Interpreter.open(export(sized, tmp_path, ("float32",))["float32"]).logits(images)
    np.testing.assert_allclose(found, np.asarray(model(images)), atol=1e-5)


def test_a_model_of_native_images_is_left_as_it_is():
    model = network((4, 5, 1))
    assert exportable(model, Preparation((4, 5, 1), (4, 5, 1)), UNIT, "logits", (), "own") is model


def test_a_foreign_model_gets_its_preparation_format_and_the_datas_order(draw):
    images = draw.random((3, 4, 4, 1)).astype(np.float32)
    preparation, format = Preparation((4, 4, 1), (6, 6, 3)), InputFormat(0.0, 255.0)
    model = network((6, 6, 3))
    made = exportable(model, preparation, format, "unwrapped", (2, 0, 1), "foreign")
    assert made.input_shape == (None, 4, 4, 1)
    own = np.asarray(model(format(preparation(tf.constant(images)))))
    # Its output 0 stands for the data's label 2.
    expected = np.stack([own[:, 1], own[:, 2], own[:, 0]], axis=1)
    np.testing.assert_allclose(np.asarray(made(images)), expected, rtol=1e-4, atol=1e-3)


def test_a_single_unit_becomes_the_logit_of_class_1(draw):
    images = draw.random((3, 4, 5, 1)).astype(np.float32)
    model = network((4, 5, 1), units=1)
    made = exportable(model, Preparation((4, 5, 1), (4, 5, 1)), UNIT, "logits", (), "single")
    own = np.asarray(model(images))
    np.testing.assert_allclose(np.asarray(made(images)), np.hstack([0 * own, own]), atol=1e-5)


def test_a_single_unit_has_an_int8_form(draw, tmp_path):
    model = network((8, 8, 1), units=1)
    made = exportable(model, Preparation((8, 8, 1), (8, 8, 1)), UNIT, "logits", (1, 0), "single")
    images = draw.random((20, 8, 8, 1)).astype(np.float32)
    file = export(made, tmp_path, ["int8"], images)["int8"]
    np.testing.assert_allclose(Interpreter.open(file).logits(images), np.asarray(made(images)), atol=0.1)


def test_probabilities_are_refused():
    with pytest.raises(ConfigError, match="export a model that returns logits"):
        exportable(network((4, 5, 1)), Preparation((4, 5, 1), (4, 5, 1)), UNIT, "probabilities", (), "soft")
