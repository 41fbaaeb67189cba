"""Ranges of images, read off a model's first layers."""

import keras
import numpy as np
import pytest

from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.recognition import _affine, _first_nodes, recognised_range

COLOUR, GREY = (8, 8, 3), (8, 8, 1)
BYTES, CENTRED, WHOLE = InputFormat(high=255.0), InputFormat(low=-1.0), InputFormat(high=255.0, whole=True)
SIXTEEN_BITS = InputFormat(high=65535.0)


def shown(*layers, shape=COLOUR, dtype="float32"):
    """Return the range that a model of these layers or functions shows."""
    x = inputs = keras.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    return recognised_range(keras.Model(inputs, x))


def rescaling(scale, offset=0.0):
    return keras.layers.Rescaling(scale, offset)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([rescaling(1 / 255)], BYTES),
        ([rescaling(1 / 127.5, -1)], BYTES),
        ([rescaling(1 / 65535)], SIXTEEN_BITS),
        ([rescaling(2.0, -1.0)], UNIT),
        ([rescaling(0.5, 0.5)], CENTRED),
        ([rescaling(1.0, -117.0)], BYTES),
        ([rescaling([1 / 300, 1 / 200, 1 / 100], [-1.0, 0.0, 1.0])], BYTES),
        ([rescaling(1 / 255), rescaling(2.0, -1.0)], BYTES),
        ([rescaling(255.0), rescaling(1.0, -117.0)], UNIT),
        ([rescaling(1.0, -0.5), rescaling(4.0, 0.5)], UNIT),
        ([rescaling(1.0, 0.5), rescaling(4.0, -2.4)], UNIT),
        ([lambda x: x / 255], BYTES),
        ([lambda x: keras.ops.divide(x, 255)], BYTES),
        ([lambda x: x * (1 / 255)], BYTES),
        ([lambda x: (1 / 255) * x], BYTES),
        ([lambda x: x / 127.5 - 1], BYTES),
        ([lambda x: x - 117], BYTES),
        ([lambda x: x + 1], CENTRED),
        ([lambda x: x / np.array([100.0, 200.0, 600.0])], BYTES),
        ([lambda x: x - np.array([103.9, 116.8, 123.7])], BYTES),
        ([keras.layers.Normalization(mean=[100.0, 120, 140], variance=[3600.0, 3600, 3600])], BYTES),
        ([keras.layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.06, 0.06, 0.06])], UNIT),
        ([keras.layers.Normalization(mean=0.5, variance=0.0)], UNIT),
        ([keras.layers.RandomFlip(), rescaling(1 / 255)], BYTES),
        ([keras.layers.Resizing(6, 6), keras.layers.ZeroPadding2D(), rescaling(1 / 255)], BYTES),
        ([keras.Sequential([keras.Input(COLOUR), rescaling(1 / 255)])], BYTES),
        ([rescaling(0.5), keras.Sequential([keras.Input(COLOUR), rescaling(2.0)])], UNIT),
        ([rescaling(1 / 255), keras.layers.ReLU(), rescaling(1 / 255)], BYTES),
        ([lambda x: x[..., ::-1], rescaling(1 / 255)], BYTES),
        (
            [lambda x: keras.ops.stack([x[..., each] for each in (2, 1, 0)], axis=-1), rescaling(1 / 255)],
            BYTES,
        ),
    ],
)
def test_scalings_before_any_other_computation_show_the_range(layers, expected):
    assert shown(*layers) == expected


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Flatten()],
        [keras.layers.RandomFlip()],
        [keras.layers.Resizing(6, 6)],
        [rescaling(1.0)],
        [rescaling(0.0)],
        [rescaling(-1 / 255, 1.0)],
        [rescaling(1 / 5)],
        [keras.layers.Conv2D(3, 1), rescaling(1 / 255)],
        [keras.layers.Normalization(mean=0.5, variance=0.1, invert=True), rescaling(1 / 255)],
        [lambda x: x / 0, rescaling(1 / 255)],
        [lambda x: 255 - x],
        [lambda x: x * x],
        [lambda x: keras.layers.Add()([x, x]), rescaling(1 / 255)],
        [lambda x: keras.layers.Concatenate()([x / 255, x])],
        [lambda x: keras.ops.split(x, 3, axis=-1)[0] / 255],
        [lambda x: keras.ops.stack([x[..., each] / 255 for each in range(3)], axis=-1)],
    ],
)
def test_what_scales_nothing_or_computes_first_shows_no_range(layers):
    assert shown(*layers) is None


def test_two_uses_of_the_images_show_nothing():
    inputs = keras.Input(COLOUR)
    both = keras.layers.Add()([rescaling(1 / 255)(inputs), keras.layers.ReLU()(inputs)])
    assert recognised_range(keras.Model(inputs, both)) is None
    other = keras.Input(COLOUR)
    sum_of_inputs = rescaling(1 / 255)(keras.layers.Concatenate()([inputs, other]))
    assert recognised_range(keras.Model([inputs, other], sum_of_inputs)) is None


def test_grey_copied_to_colour_is_one_chain():
    assert shown(lambda x: keras.layers.Concatenate()([x, x, x]), rescaling(1 / 255), shape=GREY) == BYTES


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_an_input_of_whole_numbers_takes_bytes_whatever_follows(dtype):
    assert shown(rescaling(1 / 255), dtype=dtype) == WHOLE
    assert shown(keras.layers.Flatten(), dtype=dtype) == WHOLE


def test_a_model_that_shows_no_layers_shows_no_range():
    class Own(keras.Model):
        def call(self, images):
            return images / 255

    assert recognised_range(Own()) is None


@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (1 / 4096, 0.0, SIXTEEN_BITS),
        (1 / 4095, 0.0, BYTES),
        (0.1249, 0.0, BYTES),
        (1 / 8, 0.0, None),
        (0.2499, 0.0, None),
        (1 / 4, 0.0, UNIT),
        (2.0, -3.0, UNIT),
        (2.0, -3.01, BYTES),
        (2.0, 0.019, UNIT),
        (2.0, 0.021, CENTRED),
    ],
)
def test_the_range_changes_where_pixels_would_leave_it(scale, offset, expected):
    """Below 1/8, 8 grey levels would be one deviation; what becomes 0 lies between -0.01 and 1.5 of the range."""
    assert shown(rescaling(scale, offset)) == expected


def test_a_normalisation_has_the_mean_of_its_channels_factors_and_offsets():
    """(x - 1) / 2, (x - 2) / 2 and (x - 3) / 4."""
    inputs = keras.Input(COLOUR)
    layer = keras.layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 4, 16])
    (node,) = _first_nodes(keras.Model(inputs, layer(inputs)))
    assert _affine(node) == pytest.approx((1.25 / 3, -2.25 / 3))


@pytest.mark.parametrize(
    ("operation", "pair"),
    [
        (lambda x: x * 3, (3.0, 0.0)),
        (lambda x: x / 4, (0.25, 0.0)),
        (lambda x: keras.ops.divide(x, 4), (0.25, 0.0)),
        (lambda x: x + np.array([1.0, 2, 6]), (1.0, 3.0)),
        (lambda x: x - 5, (1.0, -5.0)),
        (keras.layers.Rescaling([1.0, 2, 3], [0.0, 0, 3]), (2.0, 1.0)),
        (lambda x: 3 * x, (3.0, 0.0)),
        (lambda x: keras.ops.add(np.array([1.0, 2, 6]), x), (1.0, 3.0)),
        (lambda x: 5 - x, (-1.0, 5.0)),
        (lambda x: 5 / x, None),
        (lambda x: x * x, None),
    ],
)
def test_a_number_beside_the_images_is_a_factor_or_an_offset(operation, pair):
    inputs = keras.Input(COLOUR)
    (node,) = _first_nodes(keras.Model(inputs, operation(inputs)))
    assert _affine(node) == pair
